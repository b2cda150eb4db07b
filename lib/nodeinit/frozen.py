"""Deep immutability for the mappings that users put into a context or a config.

The containers are pyrsistent's: persistent, hashable, picklable, equal to the plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, TypeAlias

from pyrsistent import PMap, pmap, pset, pvector
from pyrsistent import thaw as _thaw

FrozenMap: TypeAlias = PMap[str, Any]
"""A deeply immutable mapping from names to values; equal to a `dict` with the same items."""

EMPTY: FrozenMap = pmap()

_PLAIN = {str, int, float, bool, bytes, type(None)}  # a map of these is frozen already


def freeze(value: Any, where: str = "value") -> Any:
    """Copy `value` into deeply immutable containers.

    Mappings become `PMap`, lists `PVector`, sets `PSet`; tuples stay tuples. Any other value must be
    hashable, which is how Python says that it will not change.

    Raises `TypeError` naming the path of the value that cannot be frozen.
    """
    if isinstance(value, Mapping):
        return pmap({key: freeze(item, f"{where}.{key}") for key, item in value.items()})
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(freeze(item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(value, list) or type(value).__name__ == "PVector":
        return pvector(freeze(item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(value, Set):
        return pset(freeze(item, f"{where}{{}}") for item in value)
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{where} is a mutable {type(value).__name__}; "
            "use an immutable value (str, bytes, tuple, mapping, frozen attrs class, …)"
        ) from None
    return value


def freeze_map(value: Mapping[str, Any] | None, where: str = "mapping") -> FrozenMap:
    """`freeze` for a mapping with string keys; `None` is the empty mapping."""
    if value is None:
        return EMPTY
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a mapping, not {type(value).__name__}")
    if not value:
        return EMPTY
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{where} has the key {key!r}; keys must be strings")
    if isinstance(value, PMap) and all(type(item) in _PLAIN for item in value.values()):
        return value
    frozen: FrozenMap = freeze(value, where)
    return frozen


def thaw(value: Any) -> Any:
    """The plain, mutable twin of a frozen value: dicts, lists, sets."""
    return _thaw(value)
