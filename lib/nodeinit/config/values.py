"""Bring values from Python into the plain shape that YAML has, before they are checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Set
from typing import Any

from pyrsistent import PVector

from nodeinit.config.origin import Origin, Path
from nodeinit.config.reader import DEEPEST
from nodeinit.errors import Fault

_KEYS = str | int | float | bool | None


def plain(value: Any, origin: Origin, faults: list[Fault], path: Path = ()) -> Any:
    """A copy of `value` in dicts, lists and scalars; what cannot be kept goes into `faults`.

    Mappings of any kind, and the models of Ray, become dicts, tuples become lists, paths become
    text. Other objects stay as they are when they are hashable, which is how Python says that they
    will not change. Numbers stay numbers: nothing is converted from text.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            faults.append(origin.fault(path, "is not a finite number", "write a number", value))
        return value
    if len(path) > DEEPEST:
        remedy = f"stay below {DEEPEST} levels (does it contain itself?)"
        faults.append(origin.fault(path[:4], "is nested too deep", remedy))
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(type(value), "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return _mapping(value, origin, faults, path)
    if isinstance(value, list | tuple | PVector):
        return [plain(item, origin, faults, (*path, i)) for i, item in enumerate(value)]
    if not isinstance(value, Set) and not _is_hashable(value):
        kind = type(value).__name__
        problem = f"is a {kind}, which may change under our hands"
        faults.append(origin.fault(path, problem, "use text, numbers, lists and mappings", value))
        return None
    return value


def _mapping(
    value: Mapping[Any, Any], origin: Origin, faults: list[Fault], path: Path
) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, item in value.items():
        if not isinstance(key, _KEYS) or key != key:
            problem = f"has a key that is a {type(key).__name__}"
            faults.append(origin.fault(path, problem, "use text as the key"))
            continue
        found[key] = plain(item, origin, faults, (*path, key))
    return found


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except Exception:  # whatever a user's class raises
        return False
    return True


def tidy(value: Any) -> Any:
    """The plain, mutable twin of a frozen value, its mappings sorted by key.

    Sorted, since a persistent map remembers no order: what is written must not differ between
    two runs.
    """
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (type(key).__name__, str(key)))
        return {key: tidy(value[key]) for key in keys}
    if isinstance(value, list | tuple | PVector):
        return [tidy(item) for item in value]
    return value
