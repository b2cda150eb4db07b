"""Load configs from files: one LLMConfig, or a Ray Serve config file with several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from nodeinit.config.arguments import merged, raise_all
from nodeinit.config.check import check
from nodeinit.config.hardware import mismatches
from nodeinit.config.origin import Origin, Path
from nodeinit.config.reader import Document, read_embedded, read_yaml
from nodeinit.errors import ConfigError, Fault, nearest

if TYPE_CHECKING:
    from nodeinit.config.model import LLMConfig

    ConfigT = TypeVar("ConfigT", bound=LLMConfig)

ENTRIES = ("llm_config", "prefill_config", "decode_config")
"""Arguments of the builders of Ray Serve LLM that are one LLMConfig; `llm_configs` is a list."""

_IN_RAY_SERVICE: Path = ("spec", "serveConfigV2")


@attrs.frozen
class Model:
    """One LLMConfig: its place in the file, its data, and the path of these in their own file."""

    place: Path
    data: dict[str, Any]
    path: Path
    origin: Origin


def load(kind: type[ConfigT], path: str | os.PathLike[str], model: str | None) -> ConfigT:
    """The config of the only model of a file, or of the one with a given `model_id`."""
    configs = load_all(kind, path)
    found = [config for config in configs if model in (None, config.model_id)]
    if len(found) == 1:
        return found[0]
    names = list(dict.fromkeys(config.model_id for config in configs))
    if not found:
        hint = nearest(str(model), names)
        remedy = f"did you mean {hint!r}?" if hint else f"the file holds {', '.join(names)}"
        fault = Fault("model", "is not in the file", repr(model), remedy)
    else:
        one = f' or LLMConfig.load(path, model="{names[0]}")' if len(names) > 1 else ""
        fault = Fault(
            "file",
            f"holds {len(found)} models: {', '.join(config.model_id for config in found)}",
            remedy=f"use LLMConfig.load_all(path){one}",
        )
    raise ConfigError(fault, source=os.fspath(path))


def load_all(kind: type[ConfigT], path: str | os.PathLike[str]) -> tuple[ConfigT, ...]:
    """The configs of all models of a file. Raises `ConfigError` with all its faults."""
    _, models = read_models(path)
    return tuple(kind.from_dict(found.data, found.origin.source) for found in models)


def read_models(path: str | os.PathLike[str]) -> tuple[Document, list[Model]]:
    """A file, and its models in its order. Raises `ConfigError` with all its faults.

    Of a RayService of KubeRay it is the Serve config in it.
    """
    document = read_yaml(path)
    if isinstance(document.data, dict) and document.data.get("kind") == "RayService":
        document = read_embedded(document, _IN_RAY_SERVICE)
    faults = merged(document.faults, check(document.data, document.origin))
    elsewhere: list[Fault] = []
    models: list[Model] = []
    for place, entry in _entries(document.data):
        if isinstance(entry, dict):
            models.append(Model(place, entry, place, document.origin))
        elif isinstance(entry, str) and entry:
            other, more = _referred(document.origin, place, entry)
            elsewhere.extend(more)
            if other and isinstance(other.data, dict):
                models.append(Model(place, other.data, (), other.origin))
    for found in models:
        faults = merged(faults, mismatches(found.data, found.origin, found.path))
    faults = merged(faults, _doubles(models)) + elsewhere
    if not models and not faults:
        remedy = "give an application args with llm_configs"
        faults.append(document.origin.fault(("applications",), "holds no model", remedy))
    raise_all(faults, document.origin)
    return document, models


def _entries(data: Any) -> Iterator[tuple[Path, Any]]:
    """Every LLMConfig of a file, with its place; tolerant of what the schema has refused."""
    if not isinstance(data, dict):
        return
    if "applications" not in data:
        yield (), data
        return
    applications = data["applications"]
    for i, application in enumerate(applications if isinstance(applications, list) else ()):
        arguments = application.get("args") if isinstance(application, dict) else None
        if not isinstance(arguments, dict):
            continue
        place = ("applications", i, "args")
        listed = arguments.get("llm_configs")
        for j, entry in enumerate(listed if isinstance(listed, list) else ()):
            yield (*place, "llm_configs", j), entry
        for name in ENTRIES:
            if name in arguments:
                yield (*place, name), arguments[name]


def _referred(origin: Origin, place: Path, entry: str) -> tuple[Document | None, list[Fault]]:
    """The file that an entry names, seen from the file that names it, else from here as in Ray."""
    candidates = [File(origin.source).expanduser().parent / entry, File(entry)]
    # Not Path.exists, which raises for a name that is too long.
    found = next((file for file in candidates if os.path.exists(file)), None)  # noqa: PTH110
    if found is None:
        looked = " and ".join(dict.fromkeys(str(file) for file in candidates))
        return None, [origin.fault(place, "is not a file", f"looked for {looked}", entry)]
    try:
        other = read_yaml(found, within=f"{entry}: ")
    except ConfigError as error:
        return None, list(error.faults)
    return other, merged(other.faults, check(other.data, other.origin, "llm_config"))


def _doubles(models: list[Model]) -> Iterator[Fault]:
    """Two models of one `llm_configs` with the same id: Ray Serve LLM could not tell them apart."""
    seen: set[Any] = set()
    for found in models:
        loading = found.data.get("model_loading_config")
        name = loading.get("model_id") if isinstance(loading, dict) else None
        key = (found.place[:-1], name) if isinstance(name, str) else None
        if found.place[-2:-1] == ("llm_configs",) and key in seen and key is not None:
            place = (*found.path, "model_loading_config", "model_id")
            yield found.origin.fault(place, "is the id of another model here", "rename one", name)
        seen.add(key)
