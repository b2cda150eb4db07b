"""Carrying out the effects of steps: work that starts and stops, waits, and what is given back.

Whatever becomes of an effect is an event. Before the next work begins, the old work has ended and
what it held and may not keep is given back; that *settling* is never cut short by a cancel.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

import attrs

from nodeinit.fsm.core import Core
from nodeinit.fsm.events import Event, Held, Occurred, Reason
from nodeinit.fsm.run import Displacement, Run
from nodeinit.fsm.shield import outlast
from nodeinit.fsm.snapshot import Do, Effect, Snapshot, Step, Stop, Undo, Wait

log = logging.getLogger("nodeinit.performer")


@attrs.define
class Performer:
    """Performs the effects of one machine.

    `run_for(phase, attempt)` makes what an activity gets; `post` takes events, `book` commits
    bookkeeping at once, `now` tells the present snapshot, `failed` is told the exception of work
    that failed.
    """

    name: str
    core: Core
    cluster: Any
    run_for: Callable[[str, int], Run]
    post: Callable[[Occurred], None]
    book: Callable[[Occurred], Step]
    now: Callable[[], Snapshot]
    failed: Callable[[BaseException], None]
    _work: asyncio.Task[None] | None = None
    _timer: asyncio.TimerHandle | None = None
    _settling: asyncio.Task[None] | None = None

    def perform(self, step: Step) -> None:
        """Carry out the effects of a committed step, in order. Does not wait."""
        effects = step.effects
        if not effects:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        busy = self._work is not None and not self._work.done()
        if self._settling is None and not busy and not any(isinstance(e, Undo) for e in effects):
            self._start(effects[-1])
        else:
            self._settle_soon(step, self._settling)

    async def settled(self) -> None:
        """Wait until everything that had to end has ended."""
        while self._settling is not None:
            await outlast(self._settling)
            await asyncio.sleep(0)

    async def undo_everything(self) -> None:
        """Stop the work and give back all that is held, without asking the machine any more."""
        await self._stop(self.now().state)
        for held in self.now().held[::-1]:
            await self._undo(held)

    # -- settling: the old has to end before the new begins ---------------------------------------

    def _settle_soon(self, step: Step, earlier: asyncio.Task[None] | None) -> None:
        self._settling = asyncio.ensure_future(self._settle(step, earlier))
        self._settling.add_done_callback(functools.partial(self._after_settling, step, earlier))

    async def _settle(self, step: Step, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await outlast(earlier)
        for effect in step.effects:
            match effect:
                case Stop(phase):
                    await self._stop(phase)
                case Undo(held, then_report):
                    for item in self.now().held[::-1] if then_report else held:
                        await self._undo(item)
                    if then_report:
                        self.post(Occurred(Event.UNDONE))
                case _ if self._still(step.after):
                    self._start(effect)

    def _still(self, snapshot: Snapshot) -> bool:
        """Whether the machine is where it was then; it may have gone on while this settled."""
        now = self.now()
        return (now.state, now.visits) == (snapshot.state, snapshot.visits)

    def _after_settling(
        self, step: Step, earlier: asyncio.Task[None] | None, task: asyncio.Task[None]
    ) -> None:
        """See to it that settling comes to its end, whatever becomes of the task that does it."""
        if task.cancelled():
            # Whoever ended the loop cancelled it before its first step: nothing was done yet.
            self._settle_soon(step, earlier)
            return
        if self._settling is task:
            self._settling = None
        if (error := task.exception()) is not None:
            log.error("%s: settling failed", self.name, exc_info=error)
            text = f"settling failed: {type(error).__name__}: {error}"
            self.post(Occurred(Event.ERRORED, reason=Reason("machine", text)))
            if any(isinstance(effect, Undo) and effect.then_report for effect in step.effects):
                self.post(Occurred(Event.UNDONE))

    # -- work --------------------------------------------------------------------------------------

    def _start(self, effect: Effect) -> None:
        match effect:
            case Do(phase, attempt):
                self._work = asyncio.ensure_future(self._do(phase, attempt))
                if self.core.definition.phase(phase) is not None:
                    seconds = self.core.policy.of(phase).deadline
                    text = f"not done within its deadline of {seconds:g} s"
                    reason = Reason("deadline", text, phase, temporary=True)
                    self._later(seconds, Occurred(Event.ELAPSED, phase, attempt, reason=reason))
            case Wait(_, seconds):
                now = self.now()
                self._later(seconds, Occurred(Event.RETRY, now.state, now.visit))

    def _later(self, seconds: float, occurred: Occurred) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.post, occurred)

    async def _do(self, phase: str, attempt: int) -> None:
        """The work of a state, from its beginning to the event that it ends in."""
        self.post(await self._outcome(phase, attempt))

    async def _outcome(self, phase: str, attempt: int) -> Occurred:
        definition = self.core.definition
        found = definition.phase(phase)
        activity = found.activity if found is not None else definition.watch
        assert activity is not None
        occurred = functools.partial(Occurred, phase=phase, attempt=attempt)
        try:
            result = await activity(self.now().ctx, self.run_for(phase, attempt))
        except asyncio.CancelledError:
            now = self.now()
            if (now.state, now.visit) != (phase, attempt):
                raise  # we stopped it
            text = "the activity was cancelled from inside"
            return occurred(Event.ERRORED, reason=Reason("error", text, phase, temporary=True))
        except Displacement as displaced:
            reason = Reason("displaced", str(displaced), phase, temporary=True)
            return occurred(Event.DISPLACED, ctx=displaced.ctx, reason=reason)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(error)
            return occurred(Event.ERRORED, reason=Reason.of(error, phase))
        if found is None:
            return occurred(Event.LOST, reason=Reason("lost", str(result), phase, temporary=True))
        if not isinstance(result, definition.context):
            text = f"the activity answered a {type(result).__name__}, not a context"
            return occurred(Event.ERRORED, reason=Reason("error", text, phase))
        return occurred(Event.DONE, ctx=result)

    async def _stop(self, phase: str) -> None:
        """Cancel the work of a state that was left, and wait for its end within the grace."""
        work, self._work = self._work, None
        if work is None or work.done():
            return
        work.add_done_callback(_seen)
        work.cancel()
        grace = self.core.policy.grace
        await outlast(work, grace)
        if not work.done():
            why = f"it ignored its cancellation for {grace:g} s"
            log.error("%s: the activity of %s was abandoned: %s", self.name, phase, why)
            left = Held("activity", phase, phase, 0)
            self.book(Occurred(Event.ABANDONED, held=left, reason=Reason("cleanup", why)))

    # -- giving back -------------------------------------------------------------------------------

    async def _undo(self, held: Held) -> None:
        """Give one thing back, or say in the journal that it could not be done."""
        policy = self.core.policy
        why = ""
        for attempt in range(policy.undo_attempts):
            if attempt:
                pause = policy.backoff(held.kind, attempt, attempt, None)
                await outlast(asyncio.ensure_future(asyncio.sleep(pause)))
            task = asyncio.ensure_future(self._undo_once(held))
            await outlast(task, policy.undo_deadline)
            if not task.done():
                task.add_done_callback(_seen)
                task.cancel()
                why = f"not done within {policy.undo_deadline:g} s"
            elif task.cancelled():
                why = "cancelled"
            elif (error := task.exception()) is not None:
                why = f"{type(error).__name__}: {error}"
            else:
                self.book(Occurred(Event.DROPPED, held=held))
                return
        log.error("%s: could not give back %s %s: %s", self.name, held.kind, held.name, why)
        self.book(Occurred(Event.ABANDONED, held=held, reason=Reason("cleanup", why)))

    async def _undo_once(self, held: Held) -> None:
        await self.core.definition.undo[held.kind](held, self.cluster)


def _seen(task: asyncio.Task[Any]) -> None:
    """Look at the end of an abandoned task, so that its error is not called never retrieved."""
    if not task.cancelled():
        task.exception()
