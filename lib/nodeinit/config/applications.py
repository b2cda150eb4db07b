"""A config file as Ray Serve sees it: applications, with their models and what stands before them."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import attrs

from nodeinit.config.load import read_models
from nodeinit.config.model import LLMConfig
from nodeinit.config.origin import Path
from nodeinit.frozen import EMPTY, FrozenMap, freeze_map

OPENAI_APP = "ray.serve.llm:build_openai_app"
"""The builder of an application with an OpenAI-compatible ingress: what one LLMConfig gets."""

DEFAULT_NAME = "default"
"""What Serve calls an application that has no name."""


@attrs.frozen
class Entry:
    """A model of an application: where it stands in the application's `args`, and what is written.

    `place` is `("llm_configs", 0)` or `("prefill_config",)`.
    """

    place: Path
    config: LLMConfig
    data: dict[str, Any] = attrs.field(repr=False)


@attrs.frozen
class Application:
    """An application of a Serve config file whose `args` hold models.

    `index` is its place in the file. `ingress` is its `ingress_deployment_config`: what its config
    says of the deployment that takes the requests.
    """

    index: int
    name: str
    import_path: str
    entries: tuple[Entry, ...]
    ingress: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)

    @property
    def configs(self) -> tuple[LLMConfig, ...]:
        """Its models."""
        return tuple(entry.config for entry in self.entries)

    @property
    def builder(self) -> str:
        """The name of the function that builds it: `build_openai_app`."""
        return self.import_path.replace(":", ".").rpartition(".")[2]


@attrs.frozen
class ServeFile:
    """A config file: what it says, and its applications that hold models, in their order.

    `data` is a Serve config; one LLMConfig is wrapped in an application that serves it.
    """

    source: str
    data: dict[str, Any] = attrs.field(repr=False)
    applications: tuple[Application, ...]

    @property
    def configs(self) -> tuple[LLMConfig, ...]:
        """The models of all applications."""
        return tuple(config for app in self.applications for config in app.configs)


def load_serve_file(path: str | os.PathLike[str]) -> ServeFile:
    """Load a Serve config file, or the LLMConfig of one model as an application of its own.

    Raises `ConfigError` with all faults of the file, as `LLMConfig.load_all` does.
    """
    document, models = read_models(path)
    data: Any = document.data
    single = "applications" not in data
    if single:
        data = {"applications": [_serving(data)]}
    entries: dict[int, list[Entry]] = {}
    for found in models:
        config = LLMConfig.from_dict(found.data, found.origin.source)
        index, place = (0, ("llm_configs", 0)) if single else (found.place[1], found.place[3:])
        entries.setdefault(index, []).append(Entry(place, config, found.data))
    applications = tuple(
        _application(index, data["applications"][index], tuple(its))
        for index, its in sorted(entries.items())
    )
    return ServeFile(os.fspath(path), data, applications)


def with_entries(args: Mapping[str, Any], entries: Mapping[Path, Any]) -> dict[str, Any]:
    """The `args` of an application with other models in the places of some."""
    changed = copy.copy(dict(args))
    for place, entry in entries.items():
        if len(place) == 1:
            changed[place[0]] = entry
        else:
            changed[place[0]] = list(changed[place[0]])
            changed[place[0]][place[1]] = entry
    return changed


def _serving(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The application that serves a single LLMConfig."""
    args = {"llm_configs": [dict(entry)]}
    return {"name": DEFAULT_NAME, "route_prefix": "/", "import_path": OPENAI_APP, "args": args}


def _application(index: int, one: Mapping[str, Any], entries: tuple[Entry, ...]) -> Application:
    ingress: Any = one["args"].get("ingress_deployment_config")
    return Application(
        index,
        str(one.get("name") or DEFAULT_NAME),
        str(one.get("import_path") or OPENAI_APP),
        entries,
        ingress if isinstance(ingress, Mapping) else EMPTY,
    )
