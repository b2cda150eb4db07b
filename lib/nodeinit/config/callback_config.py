"""The callbacks of a config: `callback_config` of a file, and what Python takes in its place.

In a file a callback is an import path. In Python it may also be a class, a function, an instance or
a `CallbackSpec`: what the schema then checks is the same mapping with a stand-in for the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nodeinit.callbacks import CallbackSpec, parse_callbacks
from nodeinit.config.origin import Origin, Path
from nodeinit.config.values import plain, tidy
from nodeinit.errors import Fault, nearest

ADAPTER = "nodeinit.ray.llm:NodeInitCallback"
"""What stands in a config for `ray.serve.llm`, with our callbacks in its keyword arguments."""

_INNER = {"callback": "callback_class", "callback_kwargs": "callback_kwargs"}
ADAPTER_KWARGS = (*_INNER, "journal", "machine", "own_group")
"""The keyword arguments of the adapter: the callbacks, and what only it looks at."""

PLACE: Path = ("callback_config", "callback_class")
_STAND_IN = "an.object:InPython"


def unwrapped(config: Any, origin: Origin, faults: list[Fault]) -> Any:
    """A `callback_config` with our callbacks in the place of the adapter that brings them to Ray.

    One file serves both: `ray.serve.llm` calls the adapter, which runs what we read here.
    """
    if not isinstance(config, Mapping) or not is_adapter(config.get("callback_class")):
        return config
    kwargs = config.get("callback_kwargs") or {}
    if not isinstance(kwargs, Mapping):
        return config
    for name in kwargs:
        if name not in ADAPTER_KWARGS:
            hint = nearest(name, ADAPTER_KWARGS)
            remedy = f"did you mean {hint!r}?" if hint else f"known: {', '.join(ADAPTER_KWARGS)}"
            place = ("callback_config", "callback_kwargs", name)
            faults.append(origin.fault(place, "is no argument of NodeInitCallback", remedy))
    inner = {place: kwargs[name] for name, place in _INNER.items() if kwargs.get(name)}
    if not inner:
        return None
    policy = "raise_error_on_callback"
    return inner | ({policy: config[policy]} if policy in config else {})


def is_adapter(target: Any) -> bool:
    """Whether a `callback_class` is the adapter, by its name or as the class."""
    if isinstance(target, str):
        return target.replace(":", ".") == ADAPTER.replace(":", ".")
    return getattr(target, "adapter_name", None) == ADAPTER


def named(target: Any) -> Any:
    """What the schema checks in the place of a class or an object: an import path."""
    kinds = (str, bool, int, float, bytes, list, tuple, Mapping)
    return target if target is None or isinstance(target, kinds) else _STAND_IN


def read(config: Any, origin: Origin, faults: list[Fault]) -> Any:
    """The plain `callback_config` for the schema, from one whose targets may be live objects."""
    if not isinstance(config, Mapping):
        return config
    found = {
        name: plain(value, origin, faults, ("callback_config", name))
        for name, value in config.items()
        if name != "callback_class"
    }
    target = config.get("callback_class")
    listed = [target] if isinstance(target, CallbackSpec) else target
    if isinstance(listed, list | tuple):
        found["callback_class"] = [
            _entry(item, origin, faults, (*PLACE, i)) for i, item in enumerate(listed)
        ]
        if config.get("callback_kwargs") and any(isinstance(x, CallbackSpec) for x in listed):
            place = ("callback_config", "callback_kwargs")
            problem = "is given beside a CallbackSpec, which has its own"
            faults.append(origin.fault(place, problem, "give them to the CallbackSpec"))
    elif "callback_class" in config:
        found["callback_class"] = named(target)
    return found


def _entry(item: Any, origin: Origin, faults: list[Fault], path: Path) -> Any:
    if isinstance(item, CallbackSpec):
        item = {"callback_class": item.target, "callback_kwargs": item.kwargs}
    if not isinstance(item, Mapping):
        return named(item)
    found = {
        name: plain(value, origin, faults, (*path, name))
        for name, value in item.items()
        if name != "callback_class"
    }
    return found | {"callback_class": named(item.get("callback_class"))}


def specs(config: Mapping[str, Any], checked: Mapping[str, Any]) -> tuple[CallbackSpec, ...]:
    """The specifications of a config, given with its objects and as `read` made it plain."""
    target, raise_error = config.get("callback_class"), config.get("raise_error_on_callback", True)
    if not isinstance(target, list | tuple):
        return parse_callbacks(target, checked.get("callback_kwargs"), raise_error=raise_error)
    return tuple(
        CallbackSpec(
            item["callback_class"],
            plain_item.get("callback_kwargs", {}),
            item.get("raise_error_on_callback", raise_error),
        )
        if isinstance(item, Mapping)
        else parse_callbacks(item, checked.get("callback_kwargs"), raise_error=raise_error)[0]
        for item, plain_item in zip(target, checked["callback_class"], strict=True)
    )


def written(
    callbacks: Iterable[CallbackSpec], name: Callable[[CallbackSpec], Any]
) -> dict[str, Any] | None:
    """The `callback_config` of specifications; `name` says what to write for a target."""
    found = []
    for spec in callbacks:
        entry: dict[str, Any] = {"callback_class": name(spec)}
        if spec.kwargs:
            entry["callback_kwargs"] = tidy(spec.kwargs)
        if not spec.raise_error:
            entry["raise_error_on_callback"] = False
        found.append(entry)
    if len(found) <= 1:
        return found[0] if found else None
    return {
        "callback_class": [entry if len(entry) > 1 else entry["callback_class"] for entry in found]
    }
