"""Write a config out: as the mapping of a file, and as the config of `ray.serve.llm`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import callback_config
from nodeinit.config.parts import given
from nodeinit.config.schema import json_schema
from nodeinit.config.values import tidy
from nodeinit.errors import ConfigError, Fault

if TYPE_CHECKING:
    from nodeinit.config.model import LLMConfig

_RAYS_OWN_CALLBACK = "ray.llm._internal.common.callbacks.base:CallbackBase"
"""The callback that a config of Ray has when none was given; it does nothing."""


def written(
    config: LLMConfig, callback: Callable[[CallbackSpec], Any], server_cls: Callable[[Any], Any]
) -> dict[str, Any]:
    """The mapping of a file for a config: what differs from the defaults.

    `callback` and `server_cls` say what to write for a callback and for a server class.
    """
    found: dict[str, Any] = {"model_loading_config": tidy(given(config.model_loading_config))}
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        if field.name not in found and field.name != "callbacks" and value != field.default:
            found[field.name] = tidy(value)
    if config.server_cls is not None:
        found["server_cls"] = server_cls(config.server_cls)
    callbacks = callback_config.written(config.callbacks, callback)
    return found | ({"callback_config": callbacks} if callbacks else {})


def from_ray(config: Any) -> dict[str, Any]:
    """The mapping of a file for a config of Ray, or for any model with its `model_dump()`."""
    kind = type(config)
    if not hasattr(kind, "model_dump"):
        problem = f"is a {kind.__name__}, not a ray.serve.llm.LLMConfig"
        raise ConfigError(Fault("config", problem, remedy="see LLMConfig.from_dict"))
    defaults = {name: field.default for name, field in getattr(kind, "model_fields", {}).items()}
    known = json_schema()["$defs"]["llm_config"]["properties"]
    data = {}
    for name, value in config.model_dump().items():
        # A field that a later Ray adds concerns us only when it is used.
        unused = name not in known and name in defaults and value == defaults[name]
        empty = value == {} or (value is None and name != "log_engine_metrics")
        if not unused and not empty:
            data[name] = value
    # Ray 2.54 and 2.55 said it in this way.
    if "use_cpu" in data:
        kind_of = "cpu" if data.pop("use_cpu") else "gpu"
        data.setdefault("accelerator_config", {"kind": kind_of})
    callbacks = data.get("callback_config")
    if isinstance(callbacks, Mapping):
        target = callbacks.get("callback_class")
        if target is None or CallbackSpec(target).name == _RAYS_OWN_CALLBACK:
            del data["callback_config"]
    return data


def to_ray(config: LLMConfig) -> Any:
    """The `ray.serve.llm.LLMConfig` of a config; callbacks and classes go over as they are."""
    if len(config.callbacks) > 1:
        raise ConfigError(
            Fault(
                "callbacks",
                f"Ray Serve LLM takes one, and there are {len(config.callbacks)}",
                remedy="hand on config.without_callbacks(), or a single callback",
            ),
            source=config.model_id,
        )
    from ray.serve.llm import LLMConfig as RayConfig

    return RayConfig(**written(config, lambda spec: spec.target, lambda server_cls: server_cls))
