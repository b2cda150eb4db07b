"""What an activity gets beside its context: the cluster, a ledger of what it holds, a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import attrs

from nodeinit.errors import PermanentError
from nodeinit.fsm.events import Event, Held, Occurred
from nodeinit.fsm.executor import Executor
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Step


class Displacement(Exception):  # an outcome, not an error
    """Raised by an activity: what the plan counted on is gone. `ctx` carries the new plan."""

    def __init__(self, message: str, ctx: Any) -> None:
        super().__init__(message)
        self.ctx = ctx


class _Books(Protocol):
    def __call__(self, occurred: Occurred) -> Step: ...


@attrs.frozen
class Run:
    """One visit of a phase, as its activity sees it.

    `node` is the name of the whole initialization, unique on its cluster; `attempt` counts the
    visits of this phase. Whatever the activity acquires it must announce with `acquire` before the
    call that acquires it: from then on the machine gives it back, whatever happens.
    """

    node: str
    phase: str
    attempt: int
    cluster: Any
    policy: Policy
    executor: Executor
    callbacks: tuple[Any, ...]
    _book: _Books = attrs.field(alias="book")
    _report: Callable[[Any], None] = attrs.field(alias="report")
    _write: Callable[[str, Mapping[str, Any]], None] = attrs.field(
        default=lambda kind, data: None, alias="write"
    )

    def acquire(self, kind: str, name: str) -> None:
        """Announce that `name` is about to be acquired. Raises when the machine has moved on."""
        step = self._note(Event.ACQUIRING, kind, name)
        if not step.accepted:
            raise PermanentError(f"{kind} {name} was not acquired: {step.refused}")

    def acquired(self, kind: str, name: str) -> None:
        """Record that the call came back and `name` is held."""
        self._note(Event.ACQUIRED, kind, name)

    def dropped(self, kind: str, name: str) -> None:
        """Record that `name` is not held any more: the activity itself gave it back."""
        self._note(Event.DROPPED, kind, name)

    @asynccontextmanager
    async def holding(self, kind: str, name: str) -> AsyncIterator[None]:
        """Hold something for the length of a block.

        Left normally, the block has given it back itself; left by an error, the undo does.
        """
        self.acquire(kind, name)
        yield
        self.dropped(kind, name)

    def progress(self, report: Any) -> None:
        """Tell subscribers how far the work is. Cheap; never waits."""
        self._report(report)

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep something that is worth seeing beside the steps of the run; see `journal.Note`.

        `data` is JSON. Nothing may depend on a note: it may not be kept.
        """
        self._write(kind, data)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking function off the event loop."""
        return await self.executor.call(function, *args)

    def _note(self, event: Event, kind: str, name: str) -> Step:
        held = Held(kind, name, self.phase, self.attempt)
        return self._book(Occurred(event, self.phase, self.attempt, held=held))
