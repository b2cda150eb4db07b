"""A context of which nothing is known: for asking a definition what it does whatever the context is.

A guard that looks at it cannot be answered for: `LooksAtContext` is raised, and whoever asked takes
both answers. A change of the context (an assign) goes through, and what comes of it is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import attrs

from nodeinit.fsm.definition import Assign, Definition, Edge, Guard
from nodeinit.fsm.events import Occurred
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot


class LooksAtContext(Exception):
    """A guard wanted to know something about the context."""


class _Unknown:
    """Whatever is asked of it cannot be said."""

    def __getattr__(self, name: str) -> NoReturn:
        raise LooksAtContext(name)

    def _cannot(self, *_: Any) -> NoReturn:
        raise LooksAtContext

    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __call__ = _cannot
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _cannot
    __hash__ = object.__hash__


class _Absorbing:
    """Whatever is done with it, the outcome is the same: something unknown."""

    def __getattr__(self, name: str) -> _Absorbing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def _itself(self, *_: Any, **__: Any) -> _Absorbing:
        return self

    __call__ = __getitem__ = _itself
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __or__ = __ror__ = _itself


UNKNOWN = _Unknown()
_ABSORBING = _Absorbing()


class Oracle:
    """Answers for the guards that look at the context: as it was told, then that they pass."""

    def __init__(self) -> None:
        self.answers: tuple[bool, ...] = ()
        self.asked: list[tuple[str, bool]] = []

    def begin(self, answers: tuple[bool, ...]) -> None:
        """Another step, with these answers to its first questions."""
        self.answers, self.asked = answers, []

    def says(self, guard: str) -> bool:
        """Whether a guard passes; the same all through a step."""
        for name, passes in self.asked:
            if name == guard:
                return passes
        place = len(self.asked)
        passes = self.answers[place] if place < len(self.answers) else True
        self.asked.append((guard, passes))
        return passes


def without_context(definition: Definition, oracle: Oracle) -> Definition:
    """The same machine for any context: the oracle answers where a guard looks at it."""
    guards: dict[Guard, Guard] = {}

    def freed(edge: Edge) -> Edge:
        found = tuple(guards.setdefault(guard, _freed(guard, oracle)) for guard in edge.guards)
        assign = _blind(edge.assign) if edge.assign is not None else None
        return attrs.evolve(edge, guards=found, assign=assign)

    return unchecked(definition, edges=tuple(map(freed, definition.edges)))


def unchecked(definition: Definition, **changes: Any) -> Definition:
    """A copy with other fields that nobody looks over: it may be as unsound as it likes."""
    made = object.__new__(Definition)
    for field in attrs.fields(Definition):
        value = changes.get(field.name, getattr(definition, field.name))
        object.__setattr__(made, field.name, value)
    return made


def _freed(guard: Guard, oracle: Oracle) -> Guard:
    def check(before: Snapshot, occurred: Occurred, policy: Policy) -> str | None:
        try:
            return guard.check(before, occurred, policy)
        except LooksAtContext:
            return None if oracle.says(guard.name) else f"{guard.name} says no"

    return Guard(guard.name, check)


def _blind(assign: Assign) -> Callable[[Snapshot, Occurred], Snapshot]:
    def assigned(after: Snapshot, occurred: Occurred) -> Snapshot:
        absorbing = attrs.evolve(occurred, ctx=_ABSORBING)
        try:
            made = assign(attrs.evolve(after, ctx=_ABSORBING), absorbing)
        except Exception:  # it needs to know more of the context, and is taken to change only that
            made = after
        return attrs.evolve(made, ctx=UNKNOWN)

    return assigned
