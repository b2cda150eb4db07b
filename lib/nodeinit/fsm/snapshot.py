"""Where a machine stands, what it wants done, and the record of one event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from nodeinit.fsm.events import Frame, Held, Occurred, Reason

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Edge

Counts: TypeAlias = tuple[tuple[str, int], ...]
"""A small frozen mapping from phase to a number: there are only a few phases."""


def count(counts: Counts, phase: str) -> int:
    """The number of a phase, 0 when it has none."""
    for name, number in counts:
        if name == phase:
            return number
    return 0


def with_count(counts: Counts, phase: str, number: int) -> Counts:
    """A copy in which the phase has this number."""
    return (*((name, old) for name, old in counts if name != phase), (phase, number))


@attrs.frozen
class Snapshot:
    """The whole state of a machine at one moment.

    `visits` counts how often each state was entered: with the state it identifies the work under
    way. `tries` counts the tries of a phase since it was last entered by anything but a retry.
    `replans` counts the plans that were given up. `retry` is the phase a backoff goes back to.
    `outcome` is the final state that `releasing` leads to and `reason` why; before that, `reason`
    is what the last setback was. `cleanup_errors` lists what could not be given back.
    """

    state: str
    ctx: Any
    seq: int = 0
    visits: Counts = ()
    tries: Counts = ()
    replans: int = 0
    retry: str | None = None
    held: tuple[Held, ...] = ()
    outcome: Frame | None = None
    reason: Reason | None = None
    cleanup_errors: tuple[str, ...] = ()

    @property
    def visit(self) -> int:
        """Which visit of the present state this is: 1 for the first."""
        return count(self.visits, self.state)


@attrs.frozen
class Do:
    """Start the work of a state: a phase's activity, or the watch over `ready`."""

    phase: str
    attempt: int


@attrs.frozen
class Wait:
    """Wait `seconds`, then `retry` the phase."""

    phase: str
    seconds: float


@attrs.frozen
class Undo:
    """Give back these, in this order (newest first). `then_report` asks for `undone` at the end."""

    held: tuple[Held, ...]
    then_report: bool = False


@attrs.frozen
class Stop:
    """Stop the work of a state that was left, and wait until it has ended."""

    phase: str


Effect: TypeAlias = Do | Wait | Undo | Stop


@attrs.frozen
class Refusal:
    """An edge that was not taken: the guard that said no, and why."""

    target: str
    guard: str
    why: str


def rounded(seconds: float) -> float:
    """A time to the microsecond: what a run says of itself is then what its journal says."""
    return round(seconds, 6)


@attrs.frozen
class HookRun:
    """One call of a hook: whose, how long it took (seconds), what it changed, how it failed."""

    callback: str
    hook: str
    seconds: float
    changes: Mapping[str, Any] = attrs.field(factory=dict, eq=False)
    error: str | None = None


@attrs.frozen
class Step:
    """The record of one event: what was, what happened, what is now and what is to be done.

    A refused event has `accepted=False`, `after == before`, no effects, and says why in `refused`.
    `at` is when it was committed, in seconds since the machine began, on the loop's clock.
    """

    before: Snapshot
    occurred: Occurred
    after: Snapshot
    effects: tuple[Effect, ...] = ()
    accepted: bool = True
    edge: Edge | None = None
    refusals: tuple[Refusal, ...] = ()
    refused: str | None = None
    hooks: tuple[HookRun, ...] = ()
    at: float = 0.0
