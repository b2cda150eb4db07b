"""What is known of each callback of the corpus: what is wrong with it, and what should say so.

The ids of the checks are those of the test kit: `H` for what a hook owes, `P` for placements, `R`
for resources, `M` for the machine. They are given by their letter and number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from tests.mutants.world import World

C = TypeVar("C", bound=type)

FAMILIES = (
    "contract",
    "placement",
    "liveness",
    "cancellation",
    "leaks",
    "retry",
    "ordering",
    "environment",
    "shared",
    "colour",
)
IDS = frozenset(
    f"{letter}{number}"
    for letter, last in {"H": 12, "P": 9, "R": 6, "M": 5}.items()
    for number in range(1, last + 1)
)


@attrs.frozen
class Mutant:
    """A callback with one bug.

    `expected` are the checks of which any one is a fair verdict, `events` how many faults and acts
    from outside it takes at least to show it, `difficulty` 1 (any run shows it), 2 (it takes the
    right fault or the right shape) or 3 (both, or a moment, or several runs). `shown_in` is a world
    in which it does what it should not. `twin` is the class as it was meant.
    """

    family: str
    cls: type
    expected: frozenset[str]
    events: int
    difficulty: int
    shown_in: World = attrs.field(factory=World)
    twin: type | None = None
    kwargs: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        return self.cls.__name__

    @property
    def bug(self) -> str:
        return inspect.getdoc(self.cls) or ""


MUTANTS: list[Mutant] = []
CORRECT: list[tuple[type, Mapping[str, Any]]] = []


def buggy(
    family: str,
    expected: str,
    *,
    events: int = 0,
    difficulty: int = 1,
    shown_in: World | None = None,
    twin: type | None = None,
    **kwargs: Any,
) -> Callable[[C], C]:
    """Enter a class into the corpus; `expected` are ids with spaces between them."""

    def enter(cls: C) -> C:
        ids = frozenset(expected.split())
        world = shown_in or World()
        MUTANTS.append(Mutant(family, cls, ids, events, difficulty, world, twin, kwargs))
        return cls

    return enter


def correct(**kwargs: Any) -> Callable[[C], C]:
    """Enter a class that has no bug; `kwargs` go to its constructor."""

    def enter(cls: C) -> C:
        CORRECT.append((cls, kwargs))
        return cls

    return enter
