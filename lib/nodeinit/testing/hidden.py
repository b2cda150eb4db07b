"""Where a callback may hide what a run depends on: looking through what it holds."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_DEPTH = 5
_PLAIN = (str, bytes, int, float, complex, bool, type(None), types.ModuleType, type)


def reaches(roots: Iterable[Any], wanted: Any) -> bool:
    """Whether something is found by going through what these hold, some steps deep."""
    seen: set[int] = set()
    left = deque((root, 0) for root in roots)
    while left:
        value, depth = left.popleft()
        if value is wanted:
            return True
        if depth == _DEPTH or id(value) in seen or isinstance(value, _PLAIN):
            continue
        seen.add(id(value))
        left.extend((inner, depth + 1) for inner in _held(value))
    return False


def _held(value: Any) -> Iterator[Any]:
    """What an object holds: its items, its attributes, and what its function closes over."""
    if isinstance(value, Mapping):
        yield from list(value.values())
        yield from list(value.keys())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from list(value)
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    if isinstance(value, types.MethodType):
        yield value.__self__
    for function in (value, getattr(value, "__func__", None)):
        for cell in getattr(function, "__closure__", None) or ():
            try:
                yield cell.cell_contents
            except ValueError:
                continue  # not bound yet
    yield from list(getattr(value, "__dict__", {}).values())
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            try:
                yield getattr(value, name)
            except AttributeError:
                continue
