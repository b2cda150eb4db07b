"""The asyncio driver: one event at a time, *decide -> fold hooks -> commit -> perform*.

The core decides; the driver does. Activities run as tasks whose ends are events again, deadlines
are timers whose ends are events too, and nothing is committed before its hooks have answered. Only
this file starts tasks, so only this file has to end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import attrs

from nodeinit.fsm.core import Core
from nodeinit.fsm.events import FINALS, Event, Held, Occurred, Reason
from nodeinit.fsm.executor import Executor, ThreadExecutor
from nodeinit.fsm.hooks import Fold, HookRunner
from nodeinit.fsm.journal import Journal
from nodeinit.fsm.run import Run
from nodeinit.fsm.snapshot import Do, Effect, Snapshot, Step, Stop, Undo, Wait

log = logging.getLogger("nodeinit.driver")


class Displacement(Exception):  # noqa: N818  an outcome, not an error
    """Raised by an activity: what the plan counted on is gone. `ctx` carries the new plan."""

    def __init__(self, message: str, ctx: Any) -> None:
        super().__init__(message)
        self.ctx = ctx


class Driver:
    """Runs one machine from `start` to a final state.

    `cluster` is handed to activities and undos. `on_step` is called with every step as soon as it
    is committed, `on_progress` with whatever activities report; both must not block.
    """

    def __init__(
        self,
        core: Core,
        ctx: Any,
        *,
        cluster: Any,
        hooks: HookRunner,
        name: str = "node",
        executor: Executor | None = None,
        journal: Journal | None = None,
        on_step: Callable[[Step], None] | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> None:
        self.core = core
        self.name = name
        self.snapshot: Snapshot = core.initial(ctx)
        self.steps: list[Step] = []
        self.error: BaseException | None = None
        """The exception behind the present setback, for `raise … from`."""
        self._cluster = cluster
        self._hooks = hooks
        self._executor = executor or ThreadExecutor()
        self._journal = journal
        self._on_step = on_step or (lambda step: None)
        self._on_progress = on_progress or (lambda report: None)
        self._mailbox: asyncio.Queue[tuple[Occurred, asyncio.Future[Step] | None]] = asyncio.Queue()
        self._folding: asyncio.Task[Fold] | None = None
        self._work: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._began: float | None = None

    # -- events in ---------------------------------------------------------------------------

    def post(self, occurred: Occurred) -> None:
        """Put an event into the mailbox. A `cancel` also ends the hooks that are being folded."""
        self._put(occurred, None)

    async def ask(self, occurred: Occurred) -> Step:
        """Post an event and wait for its step: it tells whether the event was accepted."""
        answer: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        self._put(occurred, answer)
        return await answer

    def _put(self, occurred: Occurred, answer: asyncio.Future[Step] | None) -> None:
        self._mailbox.put_nowait((occurred, answer))
        if occurred.event is Event.CANCEL and self._folding is not None:
            self._folding.cancel()

    async def run(self) -> Snapshot:
        """Process events until a final state, and return the last snapshot.

        Cancelling this coroutine is a `cancel` event like any other: the machine still releases
        what it holds, within the policy's bounds, and only then is `CancelledError` raised.
        """
        interrupted: asyncio.CancelledError | None = None
        self._began = asyncio.get_running_loop().time()
        while self.snapshot.state not in FINALS:
            try:
                await self._handle(*await self._mailbox.get())
            except asyncio.CancelledError as error:
                interrupted = error
                reason = Reason("cancelled", "the task was cancelled", self.snapshot.state)
                self.post(Occurred(Event.CANCEL, reason=reason))
        while not self._mailbox.empty():  # whoever still asks gets an answer: it came too late
            await self._handle(*self._mailbox.get_nowait())
        if self._settling is not None:
            await _outlast(self._settling)
        if interrupted is not None:
            raise interrupted
        return self.snapshot

    # -- decide, fold, commit, perform ---------------------------------------------------------

    async def _handle(self, occurred: Occurred, answer: asyncio.Future[Step] | None) -> None:
        step = self.core.step(self.snapshot, occurred)
        if step.accepted and step.edge is not None and step.edge.hooks:
            folded = await self._fold(step)
            step = superseded(step) if folded is None else self._with_hooks(step, folded)
        step = self._commit(step)
        self._perform(step)
        if answer is not None and not answer.done():
            answer.set_result(step)

    async def _fold(self, step: Step) -> Fold | None:
        """The edge's hooks over the context behind it; `None` when a cancel cut them short."""
        assert step.edge is not None
        edge = step.edge
        if not self._hooks.any(edge.hooks):
            return Fold(step.after.ctx)
        task = asyncio.ensure_future(
            self._hooks.fold(edge.hooks, step.after.ctx, observe=edge.observes)
        )
        if edge.observes:
            # The end of a run is being told: that is bounded by deadlines and never cut short.
            await _outlast(task)
            return task.result()
        self._folding = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await _outlast(task)
            raise
        finally:
            self._folding = None
        return None if task.cancelled() else task.result()

    def _with_hooks(self, step: Step, folded: Fold) -> Step:
        if folded.error is None:
            after = attrs.evolve(step.after, ctx=folded.ctx)
            return attrs.evolve(step, after=after, hooks=folded.runs)
        # Nothing of the edge happened: what happens instead is that its source state failed.
        self.error = folded.error
        before = self.snapshot
        failed = Occurred(
            Event.ERRORED, before.state, before.visit, reason=Reason.of(folded.error, before.state)
        )
        return attrs.evolve(self.core.step(before, failed), hooks=folded.runs)

    def _commit(self, step: Step) -> Step:
        """Make a step true: journal first, then publish."""
        if step.before is not self.snapshot:
            # While hooks ran, bookkeeping went on; it changes nothing but these fields.
            now = self.snapshot
            books = {"held": now.held, "cleanup_errors": now.cleanup_errors}
            after = now if not step.accepted else attrs.evolve(step.after, seq=now.seq + 1, **books)
            step = attrs.evolve(step, before=now, after=after)
        began = self._began if self._began is not None else 0.0
        step = attrs.evolve(step, at=asyncio.get_running_loop().time() - began)
        if self._journal is not None:
            self._journal.append(step)
        self.snapshot = step.after
        self.steps.append(step)
        self._on_step(step)
        return step

    def _book(self, occurred: Occurred) -> Step:
        """Bookkeeping is committed at once, wherever the mailbox is: before the call it is about."""
        return self._commit(self.core.step(self.snapshot, occurred))

    # -- effects -----------------------------------------------------------------------------

    def _perform(self, step: Step) -> None:
        """Carry out the effects of a step, in order."""
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
            self._settling = asyncio.ensure_future(self._settle(step, self._settling))

    async def _settle(self, step: Step, earlier: asyncio.Task[None] | None) -> None:
        """End what has to end before the next thing begins: the old work, then what it held."""
        if earlier is not None:
            await _outlast(earlier)
        for effect in step.effects:
            match effect:
                case Stop():
                    await self._stop(effect.phase)
                case Undo(held, then_report):
                    for item in self.snapshot.held[::-1] if then_report else held:
                        await self._undo(item)
                    if then_report:
                        self.post(Occurred(Event.UNDONE))
                case _ if self.snapshot.visits == step.after.visits:  # else it went on meanwhile
                    self._start(effect)
        if self._settling is asyncio.current_task():
            self._settling = None

    def _start(self, effect: Effect) -> None:
        loop = asyncio.get_running_loop()
        match effect:
            case Do(phase, attempt):
                self._work = asyncio.ensure_future(self._do(phase, attempt))
                if self.core.definition.phase(phase) is not None:
                    deadline = self.core.policy.of(phase).deadline
                    reason = Reason(
                        "deadline",
                        f"not done within its deadline of {deadline:g} s",
                        phase,
                        temporary=True,
                    )
                    elapsed = Occurred(Event.ELAPSED, phase, attempt, reason=reason)
                    self._timer = loop.call_later(deadline, self.post, elapsed)
            case Wait(_, seconds):
                state, visit = self.snapshot.state, self.snapshot.visit
                self._timer = loop.call_later(
                    seconds, self.post, Occurred(Event.RETRY, state, visit)
                )

    async def _do(self, phase: str, attempt: int) -> None:
        """The work of a state; whatever becomes of it is an event."""
        definition = self.core.definition
        found = definition.phase(phase)
        activity = found.activity if found is not None else definition.watch
        assert activity is not None
        run = Run(
            node=self.name,
            phase=phase,
            attempt=attempt,
            cluster=self._cluster,
            policy=self.core.policy,
            executor=self._executor,
            callbacks=tuple(self._hooks.callbacks),
            book=self._book,
            report=self._on_progress,
        )
        here = {"phase": phase, "attempt": attempt}
        try:
            result = await activity(self.snapshot.ctx, run)
        except asyncio.CancelledError:
            if self.snapshot.state != phase or self.snapshot.visit != attempt:
                raise
            # Nobody stopped it: something inside cancelled itself, which is an error like any other.
            reason = Reason("error", "the activity was cancelled from inside", phase, temporary=True)
            self.post(Occurred(Event.ERRORED, **here, reason=reason))
        except Displacement as displaced:
            reason = Reason("displaced", str(displaced), phase, temporary=True)
            self.post(Occurred(Event.DISPLACED, **here, ctx=displaced.ctx, reason=reason))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.error = error
            self.post(Occurred(Event.ERRORED, **here, reason=Reason.of(error, phase)))
        else:
            if found is None:
                reason = Reason("lost", str(result), phase, temporary=True)
                self.post(Occurred(Event.LOST, **here, reason=reason))
            elif not isinstance(result, definition.context):
                text = f"the activity answered a {type(result).__name__}, not a context"
                self.post(Occurred(Event.ERRORED, **here, reason=Reason("error", text, phase)))
            else:
                self.post(Occurred(Event.DONE, **here, ctx=result))

    async def _stop(self, phase: str) -> None:
        """Cancel the work of a state that was left, and wait for its end within the grace."""
        work, self._work = self._work, None
        if work is None or work.done():
            return
        work.add_done_callback(lambda late: late.cancelled() or late.exception())  # seen, not lost
        work.cancel()
        grace = self.core.policy.grace
        await _outlast(work, grace)
        if not work.done():
            why = f"it ignored its cancellation for {grace:g} s"
            log.error("%s: the activity of %s was abandoned: %s", self.name, phase, why)
            left = Held("activity", phase, phase, 0)
            self._book(Occurred(Event.ABANDONED, held=left, reason=Reason("cleanup", why)))

    async def _undo(self, held: Held) -> None:
        """Give one thing back, or say in the journal that it could not be done."""
        policy = self.core.policy
        undo = self.core.definition.undo[held.kind]
        why = ""
        for attempt in range(policy.undo_attempts):
            if attempt:
                pause = policy.backoff(held.kind, attempt, attempt, None)
                await _outlast(asyncio.ensure_future(asyncio.sleep(pause)))
            task = asyncio.ensure_future(_call(undo, held, self._cluster))
            await _outlast(task, policy.undo_deadline)
            if not task.done():
                task.add_done_callback(lambda late: late.cancelled() or late.exception())
                task.cancel()
                why = f"not done within {policy.undo_deadline:g} s"
            elif task.cancelled():
                why = "cancelled"
            elif (error := task.exception()) is not None:
                why = f"{type(error).__name__}: {error}"
            else:
                self._book(Occurred(Event.DROPPED, held=held))
                return
        log.error("%s: could not give back %s %s: %s", self.name, held.kind, held.name, why)
        self._book(Occurred(Event.ABANDONED, held=held, reason=Reason("cleanup", why)))

    async def abort(self, reason: Reason) -> Snapshot:
        """Bring a machine whose `run` ended early to a final state all the same."""
        if self.snapshot.state not in FINALS:
            self.post(Occurred(Event.CANCEL, reason=reason))
            with contextlib.suppress(asyncio.CancelledError):
                await self.run()
        return self.snapshot


def superseded(step: Step) -> Step:
    """The step of an event whose hooks were cut short by a cancel: it did not happen."""
    return attrs.evolve(step, after=step.before, effects=(), accepted=False, refused=SUPERSEDED)


SUPERSEDED = "superseded by a cancel while its hooks ran"


async def _call(undo: Callable[[Held, Any], Any], held: Held, cluster: Any) -> None:
    await undo(held, cluster)


async def _outlast(task: asyncio.Task[Any], timeout: float | None = None) -> None:
    """Wait for a task, whoever cancels the waiter: what cleans up may not be cut short."""
    while True:
        try:
            await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            continue
        return
