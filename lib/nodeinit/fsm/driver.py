"""The asyncio driver: one event at a time, *decide -> fold hooks -> commit -> perform*.

The core decides; the driver does. Nothing is committed before its hooks have answered, and nothing
is performed before it is in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from nodeinit.fsm.core import Core
from nodeinit.fsm.events import FINALS, Event, Occurred, Reason
from nodeinit.fsm.executor import Executor, ThreadExecutor
from nodeinit.fsm.hooks import Fold, HookRunner
from nodeinit.fsm.journal import Journal
from nodeinit.fsm.performer import Performer
from nodeinit.fsm.run import Run
from nodeinit.fsm.shield import outlast
from nodeinit.fsm.snapshot import Snapshot, Step, rounded

log = logging.getLogger("nodeinit.driver")

SUPERSEDED = "superseded by a cancel while its hooks ran"


class Driver:
    """Runs one machine from `start` to a final state.

    `cluster` is handed to activities and undos. `on_step` is called with every step as soon as it
    is committed, `on_progress` with whatever activities report, `on_note` with what they note; none
    of these may block.
    """

    performer: ClassVar[type[Performer]] = Performer

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
        on_note: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.core = core
        self.name = name
        self.snapshot: Snapshot = core.initial(ctx)
        self.steps: list[Step] = []
        self.began: float | None = None
        """When `run` began, on the loop's clock: the zero of every step's `at`."""
        self.error: BaseException | None = None
        """The exception behind the present setback, for `raise … from`."""
        self._hooks = hooks
        self._executor = executor or ThreadExecutor()
        self._journal = journal
        self._on_step = on_step or (lambda step: None)
        self._on_progress = on_progress or (lambda report: None)
        self._on_note = on_note or (lambda kind, data: None)
        self._mailbox: asyncio.Queue[tuple[Occurred, asyncio.Future[Step] | None]] = asyncio.Queue()
        self._folding: asyncio.Task[Fold] | None = None
        self._shaken = False
        self._cancels = 0  # how many of them wait in the mailbox
        self._performer = self.performer(
            name,
            core,
            cluster,
            run_for=lambda phase, attempt: self._run_for(phase, attempt, cluster),
            post=self.post,
            book=self._book,
            now=lambda: self.snapshot,
            failed=self._failed,
        )

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
        if occurred.event is Event.CANCEL:
            self._cancels += 1
            if self._folding is not None:
                self._folding.cancel()

    async def run(self) -> Snapshot:
        """Process events until a final state, and return the last snapshot.

        Cancelling this coroutine is a `cancel` event like any other: the machine still releases
        what it holds, within the policy's bounds, and only then is `CancelledError` raised.
        """
        interrupted: asyncio.CancelledError | None = None
        self.began = asyncio.get_running_loop().time()
        while self.snapshot.state not in FINALS:
            try:
                await self._handle(*await self._mailbox.get())
            except asyncio.CancelledError as error:
                interrupted = error
                reason = Reason("cancelled", "the task was cancelled", self.snapshot.state)
                self.post(Occurred(Event.CANCEL, reason=reason))
            except Exception as error:
                await self._survive(error)
        while not self._mailbox.empty():  # whoever still asks gets an answer: it came too late
            await self._handle(*self._mailbox.get_nowait())
        await self._performer.settled()
        if interrupted is not None:
            raise interrupted
        return self.snapshot

    async def _survive(self, error: Exception) -> None:
        """A definition's own guard or assign raised: fail the node; if that fails too, only undo."""
        log.error("%s: the machine itself failed", self.name, exc_info=error)
        again, self._shaken, self.error = self._shaken, True, error
        if not again:
            text = f"the machine itself failed: {type(error).__name__}: {error}"
            self.post(Occurred(Event.ERRORED, reason=Reason("machine", text)))
            return
        await self._performer.undo_everything()
        raise error

    async def abort(self, reason: Reason) -> Snapshot:
        """Bring a machine whose `run` ended early to a final state all the same."""
        if self.snapshot.state not in FINALS:
            self.post(Occurred(Event.CANCEL, reason=reason))
            with contextlib.suppress(asyncio.CancelledError):
                await self.run()
        return self.snapshot

    def elapsed(self) -> float:
        """Seconds since the machine began, on the loop's clock, to the microsecond; 0 before."""
        if self.began is None:
            return 0.0
        return rounded(asyncio.get_running_loop().time() - self.began)

    # -- decide, fold, commit, perform ---------------------------------------------------------

    async def _handle(self, occurred: Occurred, answer: asyncio.Future[Step] | None) -> None:
        self._cancels -= occurred.event is Event.CANCEL
        step = self.core.step(self.snapshot, occurred)
        if step.accepted and step.edge is not None and step.edge.hooks:
            folded = await self._fold(step)
            step = superseded(step) if folded is None else self._with_hooks(step, folded)
        step = self._commit(step)
        self._performer.perform(step)
        if answer is not None and not answer.done():
            answer.set_result(step)

    async def _fold(self, step: Step) -> Fold | None:
        """The edge's hooks over the context behind it; `None` when a cancel cut them short."""
        assert step.edge is not None
        edge = step.edge
        if not self._hooks.any(edge.hooks):
            return Fold(step.after.ctx)
        if self._cancels and not edge.observes:
            return None  # one is already waiting behind this event
        task = asyncio.ensure_future(
            self._hooks.fold(edge.hooks, step.after.ctx, observe=edge.observes)
        )
        if edge.observes:
            # The end of a run is being told: that is bounded by deadlines and never cut short.
            await outlast(task)
            return Fold(step.after.ctx) if task.cancelled() else task.result()
        self._folding = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await outlast(task)
            raise
        finally:
            self._folding = None
        return None if task.cancelled() else task.result()

    def _with_hooks(self, step: Step, folded: Fold) -> Step:
        if folded.error is None:
            if folded.ctx is step.after.ctx and not folded.runs:
                return step
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
            after = now
            if step.accepted:
                after = attrs.evolve(
                    step.after,
                    seq=now.seq + 1,
                    held=now.held,
                    cleanup_errors=now.cleanup_errors,
                )
            step = attrs.evolve(step, before=now, after=after)
        at = self.elapsed()
        # Spelt out, as in the core: `evolve` of a step costs more than deciding it.
        step = Step(
            step.before,
            step.occurred,
            step.after,
            step.effects,
            step.accepted,
            step.edge,
            step.refusals,
            step.refused,
            step.hooks,
            at,
        )
        self._record(step)
        self.snapshot = step.after
        self.steps.append(step)
        self._on_step(step)
        return step

    def _record(self, step: Step) -> None:
        """Write the step down. A node whose journal cannot be written is not to be trusted on."""
        if self._journal is None:
            return
        try:
            self._journal.append(step)
        except OSError as error:
            path, self._journal = self._journal.path, None
            text = f"the journal {path} cannot be written: {error.strerror or error}"
            log.error("%s: %s", self.name, text)
            self.post(Occurred(Event.ERRORED, reason=Reason("journal", text)))

    def _book(self, occurred: Occurred) -> Step:
        """Bookkeeping is committed at once, wherever the mailbox is: before the call it is about."""
        return self._commit(self.core.step(self.snapshot, occurred))

    def _run_for(self, phase: str, attempt: int, cluster: Any) -> Run:
        return Run(
            node=self.name,
            phase=phase,
            attempt=attempt,
            cluster=cluster,
            policy=self.core.policy,
            executor=self._executor,
            callbacks=tuple(self._hooks.callbacks),
            book=self._book,
            report=self._on_progress,
            write=self._on_note,
        )

    def _failed(self, error: BaseException) -> None:
        self.error = error


def superseded(step: Step) -> Step:
    """The step of an event whose hooks were cut short by a cancel: it did not happen."""
    return attrs.evolve(step, after=step.before, effects=(), accepted=False, refused=SUPERSEDED)
