"""From what a user gave, in a file or in a call, to the checked fields of an `LLMConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from nodeinit.config import callback_config
from nodeinit.config.check import check
from nodeinit.config.hardware import mismatches
from nodeinit.config.origin import Origin, Path
from nodeinit.config.parts import ModelLoadingConfig, Settings, given
from nodeinit.config.values import plain
from nodeinit.errors import ConfigError, Fault

MODEL_NAMES = ("model_id", "model_source", "tokenizer_source")
CALLBACK_NAMES = {
    "callback": "callback_class",
    "callbacks": "callback_class",
    "callback_kwargs": "callback_kwargs",
}
SHORT_NAMES = (*MODEL_NAMES, *CALLBACK_NAMES, "nodeinit")
"""Arguments of `LLMConfig(...)` that stand for a place deeper in a file."""


def fields_of(config: Any, origin: Origin) -> dict[str, Any]:
    """The values of the fields of an `LLMConfig` from a mapping in the shape of a file.

    Raises `ConfigError` with all faults.
    """
    if not isinstance(config, Mapping):
        raise_all(check(config, origin, "llm_config"), origin)
    faults: list[Fault] = []
    data = {
        name: plain(value, origin, faults, (name,))
        for name, value in config.items()
        if name not in ("callback_config", "server_cls")
    }
    told, server = config.get("callback_config"), config.get("server_cls")
    callbacks = callback_config.unwrapped(told, origin, faults)
    if "callback_config" in config and (callbacks is not None or told is None):
        data["callback_config"] = callback_config.read(callbacks, origin, faults)
    if "server_cls" in config:
        data["server_cls"] = callback_config.named(server)
    raise_all(merged(faults, check(data, origin, "llm_config"), mismatches(data, origin)), origin)
    if callbacks:
        data["callbacks"] = callback_config.specs(callbacks, data.pop("callback_config"))
    data.pop("callback_config", None)
    if "server_cls" in config:
        data["server_cls"] = server
    data["model_loading_config"] = ModelLoadingConfig(**data["model_loading_config"])
    return data


def merged(*several: Any) -> list[Fault]:
    """The faults of several checks, by line and place; of two for one place the first is kept."""
    found: list[Fault] = []
    for faults in several:
        places = {fault.where for fault in found}
        found.extend(fault for fault in faults if fault.where not in places)
    return sorted(found, key=lambda fault: (fault.line, fault.where) if fault.line else (0, ""))


def raise_all(faults: list[Fault], origin: Origin) -> None:
    """Raise `ConfigError` when there are faults."""
    if faults:
        raise ConfigError(faults, source=origin.source)


def long_form(asked: Mapping[str, Any]) -> tuple[dict[str, Any], Origin]:
    """The mapping of a file that stands for the arguments of `LLMConfig(...)`, and its origin.

    An argument that is `None` was not given. Raises `ConfigError` for what is given twice.
    """
    renamed: dict[Path, str] = {}
    origin = Origin("LLMConfig(...)", short=SHORT_NAMES, renamed=renamed)
    faults: list[Fault] = []
    data = {
        name: value
        for name, value in asked.items()
        if name not in SHORT_NAMES and value is not None
    }
    _put_model(data, asked, renamed, faults)
    _put_settings(data, asked, renamed, faults)
    _put_callbacks(data, asked, renamed, faults)
    raise_all(faults, origin)
    return data, origin


def _twice(name: str, other: str) -> Fault:
    return Fault(name, f"is given beside {other}", remedy="keep one of the two")


def _put_model(
    data: dict[str, Any], asked: Mapping[str, Any], renamed: dict[Path, str], faults: list[Fault]
) -> None:
    short = {name: asked[name] for name in MODEL_NAMES if asked.get(name) is not None}
    config = data.get("model_loading_config", {})
    if isinstance(config, ModelLoadingConfig):
        data["model_loading_config"] = config = given(config)
    if not short or not isinstance(config, Mapping):
        return
    for name in short:
        renamed["model_loading_config", name] = name
        if name in config:
            faults.append(_twice(name, f"model_loading_config.{name}"))
    data["model_loading_config"] = {**config, **short}


def _put_settings(
    data: dict[str, Any], asked: Mapping[str, Any], renamed: dict[Path, str], faults: list[Fault]
) -> None:
    settings = asked.get("nodeinit")
    config = data.get("experimental_configs", {})
    if settings is None or not isinstance(config, Mapping):
        return
    renamed["experimental_configs", "nodeinit"] = "nodeinit"
    if "nodeinit" in config:
        faults.append(_twice("nodeinit", "experimental_configs.nodeinit"))
    plainly = settings.to_dict() if isinstance(settings, Settings) else settings
    data["experimental_configs"] = {**config, "nodeinit": plainly}


def _put_callbacks(
    data: dict[str, Any], asked: Mapping[str, Any], renamed: dict[Path, str], faults: list[Fault]
) -> None:
    config: dict[str, Any] = {}
    for name, place in CALLBACK_NAMES.items():
        if asked.get(name):
            if place in config:
                faults.append(_twice(name, "callback"))
            config[place] = asked[name]
            renamed["callback_config", place] = name
    if config and "callback_config" in data:
        faults.append(_twice(renamed["callback_config", next(iter(config))], "callback_config"))
    if config:
        data["callback_config"] = config


def changed(config: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `LLMConfig(...)` for a copy of a config with some of them changed."""
    asked = {field.name: getattr(config, field.name) for field in attrs.fields(type(config))}
    if changes.keys() & {"callback", "callback_config"}:
        del asked["callbacks"]
    if changes.keys() & set(MODEL_NAMES):
        asked["model_loading_config"] = {
            name: value
            for name, value in given(config.model_loading_config).items()
            if name not in changes
        }
    if "nodeinit" in changes:
        asked["experimental_configs"] = asked["experimental_configs"].discard("nodeinit")
    return {**asked, **changes}
