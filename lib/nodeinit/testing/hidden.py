"""Where a callback may hide what a run depends on: modules, classes, defaults, opaque objects.

Nothing here is a fault. But what is hidden so outlives the instance, or cannot be compared, and then
no number of runs shows that there is nothing more to see.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import pickle
import threading
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from nodeinit.testing.fake_ray import FakeGroup

_DEPTH = 6
_PLAIN = (str, bytes, int, float, complex, bool, type(None), types.ModuleType, type)
_GIVEN = (FakeGroup, asyncio.AbstractEventLoop, logging.Logger, attrs.Attribute)
"""What is not a callback's own, however much there is to it."""
_ITEMS = (list, tuple, set, frozenset, deque)
_LOCK = type(threading.Lock())
OPAQUE = "opaque"


# -- what an instance holds ------------------------------------------------------------------------


def reaches(roots: Iterable[Any], wanted: Any) -> bool:
    """Whether something is found by going through what these hold, some steps deep."""
    seen: set[int] = set()
    left = deque((root, 0) for root in roots)
    while left:
        value, depth = left.popleft()
        if value is wanted:
            return True
        if depth == _DEPTH or id(value) in seen or isinstance(value, (*_PLAIN, *_GIVEN)):
            continue
        seen.add(id(value))
        left.extend((inner, depth + 1) for inner in _held(value))
    return False


def opaque_attributes(instance: Any) -> list[str]:
    """The attributes of an instance that hold what cannot be compared: `name (a generator)`."""
    return sorted(
        f"{name} (a {type(value).__name__})"
        for name, value in _attributes(instance)
        if _is_opaque(printed(value))
    )


def _held(value: Any) -> Iterator[Any]:
    """What an object holds: its items, its attributes, and what its function closes over."""
    if isinstance(value, Mapping):
        yield from list(value.values())
        yield from list(value.keys())
    elif isinstance(value, _ITEMS):
        yield from list(value)
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, types.FunctionType):
        yield from _closed_over(value)
    for _, inner in _attributes(value):
        yield inner


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, also those in slots."""
    try:
        yield from list(vars(value).items())
    except TypeError:
        pass  # it has slots alone, or nothing
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def _closed_over(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # not bound yet


# -- a value, as something that can be compared later ----------------------------------------------


def printed(value: Any, depth: int = 0) -> Any:
    """What a value is now, through all that it holds; `OPAQUE` stands where that cannot be told."""
    if isinstance(value, (type, *_GIVEN)):
        return type(value).__qualname__
    if isinstance(value, _PLAIN):
        return repr(value)
    if depth == _DEPTH:
        return "…"
    below = functools.partial(printed, depth=depth + 1)
    if isinstance(value, Mapping):
        return [(repr(below(key)), below(inner)) for key, inner in list(value.items())]
    if isinstance(value, list | tuple | deque):
        return [below(inner) for inner in list(value)]
    if isinstance(value, set | frozenset):
        return sorted(repr(below(inner)) for inner in list(value))
    if isinstance(value, asyncio.Future):
        return ("a future", value.done())
    if isinstance(value, _LOCK):
        return ("a lock", value.locked())
    if isinstance(value, types.FunctionType):
        defaults = (value.__defaults__, value.__kwdefaults__, vars(value))
        return (value.__qualname__, below(defaults), [below(i) for i in _closed_over(value)])
    if isinstance(value, functools._lru_cache_wrapper):
        return ("a cache", value.cache_info().currsize)
    if isinstance(value, types.MethodType):
        return (below(value.__func__), type(value.__self__).__qualname__)
    if isinstance(value, staticmethod | classmethod):
        return below(value.__func__)
    if isinstance(value, functools.partial):
        return [below(inner) for inner in _held(value)]
    return _object(value, below)


def _object(value: Any, below: Any) -> Any:
    name = type(value).__qualname__
    attributes = dict(_attributes(value))
    if attributes or hasattr(value, "__dict__"):
        return (name, [(key, below(inner)) for key, inner in attributes.items()])
    try:
        return (name, pickle.dumps(value))
    except Exception:
        return OPAQUE


def _is_opaque(found: Any) -> bool:
    if isinstance(found, list | tuple):
        return any(map(_is_opaque, found))
    return isinstance(found, str) and found is OPAQUE


# -- what outlives an instance -----------------------------------------------------------------------


def shared_state(modules: Sequence[types.ModuleType]) -> dict[str, Any]:
    """What modules, their classes and functions, and the environment hold now, by name."""
    found: dict[str, Any] = {"os.environ": printed(dict(os.environ))}
    for module in modules:
        for name, value in list(vars(module).items()):
            if name.startswith("__") or isinstance(value, types.ModuleType):
                continue
            path = f"{module.__name__}.{name}"
            if not isinstance(value, type):
                found[path] = printed(value)
            elif value.__module__ == module.__name__:
                for attribute, inner in list(vars(value).items()):
                    if attribute == "__init__" or not attribute.startswith("__"):
                        found[f"{path}.{attribute}"] = printed(inner)
    return found


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names whose values are others now."""
    names = {**before, **after}
    return sorted(name for name in names if before.get(name) != after.get(name))


@attrs.frozen
class Hidden:
    """What cannot be proved about a callback: `state` that runs share or that cannot be compared, and
    what it did `outside`, where nobody watches.
    """

    state: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.state or self.outside)
