"""The words of a machine: events, reasons, and what can be held. Plain frozen values."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from nodeinit.errors import HookError, InfeasibleError, NoCapacityError, TemporaryError


class Event(enum.StrEnum):
    """What can happen to a machine."""

    START = "start"  # somebody asked for the node
    DONE = "done"  # the activity of the phase came to its end
    ERRORED = "errored"  # the activity, or a hook of the edge, failed
    ELAPSED = "elapsed"  # the phase's deadline passed
    DISPLACED = "displaced"  # what the plan counted on is gone; the activity brings a new plan
    RETRY = "retry"  # the backoff is over
    LOST = "lost"  # a ready node is no longer what it was
    CANCEL = "cancel"  # somebody wants to stop before the end
    RELEASE = "release"  # somebody is done with a ready node
    UNDONE = "undone"  # everything that was held has been given back

    # Bookkeeping: these change what is held, never the state, and so need no edge.
    ACQUIRING = "acquiring"  # an activity is about to acquire something: written before the call
    ACQUIRED = "acquired"  # ... and now has it
    DROPPED = "dropped"  # it was given back
    ABANDONED = "abandoned"  # it could not be given back; the reason goes to `cleanup_errors`


BOOKKEEPING = frozenset({Event.ACQUIRING, Event.ACQUIRED, Event.DROPPED, Event.ABANDONED})


class Frame(enum.StrEnum):
    """The states that every machine has around its phases."""

    IDLE = "idle"
    BACKOFF = "backoff"
    READY = "ready"
    RELEASING = "releasing"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"


FINALS = frozenset({Frame.FAILED, Frame.CANCELLED, Frame.RELEASED})


@attrs.frozen
class Reason:
    """Why something did not go on: data, so that it can be journalled and replayed.

    `code` is a short stable word for programs (`hook`, `deadline`, `error`, `rule`, `displaced`,
    `lost`, `cancelled`, `released`, `infeasible`), `message` a sentence for people, `phase` where
    it came up.
    `temporary` says that trying again may help, `delay` (seconds) how long the source asked to wait.
    """

    code: str
    message: str
    phase: str | None = None
    temporary: bool = False
    delay: float | None = None

    def __str__(self) -> str:
        return f"{self.phase}: {self.message}" if self.phase else self.message

    @classmethod
    def of(cls, error: BaseException, phase: str | None) -> Reason:
        """The reason that an exception of a hook or an activity stands for.

        `TemporaryError` is temporary and so is a failure of the network or of the host that a library
        reported as `ConnectionError` or `TimeoutError`; anything else is permanent.
        """
        text = str(error) or type(error).__name__
        match error:
            case HookError():
                return cls("hook", text, phase, error.temporary, error.delay)
            case NoCapacityError():
                return cls("infeasible", text, phase, True, error.delay)
            case TemporaryError():
                return cls("error", text, phase, True, error.delay)
            case InfeasibleError():
                return cls("infeasible", text, phase)
            case ConnectionError() | TimeoutError():
                return cls("error", f"{type(error).__name__}: {text}", phase, True)
            case _:
                known = type(error).__module__.startswith("nodeinit.")
                return cls("error", text if known else f"{type(error).__name__}: {text}", phase)


@attrs.frozen
class Held:
    """Something that an activity acquired and that must be given back.

    `kind` selects the undo of the definition, `name` identifies the thing to it; `phase` and
    `attempt` say who acquired it. Before the call returns it is only intended (`confirmed=False`),
    and its undo must cope with its never having come to be.
    """

    kind: str
    name: str
    phase: str
    attempt: int
    confirmed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it."""
        return self.kind, self.name


@attrs.frozen
class Occurred:
    """An event with what it carries.

    `phase` and `attempt` name the visit of a phase it comes from; a result that does not match the
    machine's present visit is stale and refused. Events from outside (`start`, `cancel`, …) have none.
    `ctx` is the context that an activity answered with.
    """

    event: Event
    phase: str | None = None
    attempt: int | None = None
    ctx: Any = None
    reason: Reason | None = None
    held: Held | None = None
