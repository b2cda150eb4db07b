"""The embedding API: hold a machine that brings a node up (`NodeInitializer`)."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nodeinit.clusters.base import Cluster, Progress
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx
from nodeinit.errors import InitializationCancelled, InitializationFailed
from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import FINALS, Event, Frame, Occurred, Reason
from nodeinit.fsm.executor import Executor, ThreadExecutor
from nodeinit.fsm.explain import explain
from nodeinit.fsm.hooks import HookRunner
from nodeinit.fsm.journal import Journal, Note
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.shield import through
from nodeinit.fsm.snapshot import Snapshot, Step
from nodeinit.node.binding import bind_callbacks
from nodeinit.node.notes import Notes
from nodeinit.node.policy import policy_of
from nodeinit.node.status import Status, status_of
from nodeinit.node.subscribers import Subscribers

if TYPE_CHECKING:
    from nodeinit.diagram.run import RunRecord

STANDARD = "node_init"
_LET_GO = 5.0  # seconds; Ray takes a hundredth of one to end a process


class NodeInitializer:
    """One node, from its config to a final state; an async context manager that always releases.

    `cluster` is what it acts on (a Ray of this process by default), `machine` a definition or the
    name of an installed one, `policy` how patient it is (the config's by default), `journal` a path
    for the record of every step. Callbacks are made and checked here, before anything is started:
    raises `ConfigError`.
    """

    def __init__(
        self,
        config: LLMConfig,
        *,
        cluster: Cluster | None = None,
        machine: Definition | str = STANDARD,
        policy: Policy | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.config = config
        self.machine = load_machine(machine) if isinstance(machine, str) else machine
        self.policy = policy or policy_of(config, self.machine)
        self.name = name or _name_for(config.model_id)
        self.callbacks = bind_callbacks(config.callbacks, self.machine)
        self._executor = executor or ThreadExecutor()
        self._cluster = cluster
        self._own_cluster = cluster is None
        self._core = Core(self.machine, self.policy)
        self._ctx = CallbackCtx(llm_config=config, runtime_env=config.runtime_env)
        self._journal_path = journal
        self._journal: Journal | None = None
        self._driver: Driver | None = None
        self._running: asyncio.Task[Snapshot] | None = None
        self._subscribers = Subscribers(self._executor)
        self._progress = Subscribers(self._executor, latest=True)
        self.began: float | None = None
        """When it was entered, in Unix time: the zero of its steps' `at`. `None` before."""
        self._reports: dict[str, Progress] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notes = Notes()
        self._changed = asyncio.Event()

    # -- what can be seen ----------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """Where the machine stands."""
        return self._driver.snapshot if self._driver else self._core.initial(self._ctx)

    @property
    def state(self) -> str:
        """The present state, `idle` before the start."""
        return self.snapshot.state

    @property
    def ctx(self) -> CallbackCtx:
        """The present context."""
        ctx: CallbackCtx = self.snapshot.ctx
        return ctx

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every committed step so far, refused events included."""
        return tuple(self._driver.steps) if self._driver else ()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was seen beside the steps: what plans were made against, how far hosts came."""
        return self._notes.kept

    def record(self) -> RunRecord:
        """The run as it is known now, to be drawn: `to_svg`, `to_html`, `to_markdown`.

        May be asked from any thread.
        """
        from nodeinit.diagram.run import RunRecord

        began = None if self.began is None else datetime.fromtimestamp(self.began, UTC)
        return RunRecord(
            machine=self.machine,
            policy=self.policy,
            steps=self.steps,
            notes=self.notes,
            name=self.name,
            began=began,
            source=self.journal or "",
            now=self._elapsed(),
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.record()._repr_html_()

    @property
    def journal(self) -> str | None:
        """The path of the journal, if one is written."""
        return str(self._journal.path) if self._journal else None

    def explain(self) -> str:
        """One sentence: where the node is and why it is not further."""
        return explain(self.steps, self.policy)

    def status(self) -> Status:
        """The present phase, its progress, reason and deadline, as probes ask for it.

        Cheap, and may be asked from any thread.
        """
        return status_of(
            self.name,
            self.config.model_id,
            self.steps,
            self.snapshot,
            self.policy,
            now=self._elapsed(),
            reports=tuple(self._reports.values()),
        )

    def subscribe(self, on_step: Callable[[Step], Any]) -> Callable[[], None]:
        """Be told every committed step, in order; answers a function that ends it.

        A subscriber may be async, slow, or fail: it runs beside the node and cannot hurt it.
        """
        return self._subscribers.add(on_step)

    def subscribe_progress(self, on_progress: Callable[[Any], Any]) -> Callable[[], None]:
        """Be told how far the work is; a slow subscriber gets the latest report only."""
        return self._progress.add(on_progress)

    # -- what can be done ------------------------------------------------------------------------

    async def __aenter__(self) -> NodeInitializer:
        """Connect to the cluster and start the machine; returns at once."""
        if self._driver is not None:
            raise RuntimeError("a NodeInitializer brings up one node; make another one")
        if self._journal_path is not None:
            self._journal = Journal(self._journal_path, self._core, self._ctx, self.name)
        try:
            if self._cluster is None:
                self._cluster = await _default_cluster(self._executor)
        except BaseException:
            if self._journal is not None:
                self._journal.close()
            raise
        codec = self.machine.codec
        self._driver = Driver(
            self._core,
            self._ctx,
            cluster=self._cluster,
            hooks=HookRunner(
                self.callbacks,
                self._executor,
                context=self.machine.context,
                check_change=self.machine.check_change,
                diff=codec.changes if codec else None,
                deadline=self.policy.hook_deadline,
            ),
            name=self.name,
            executor=self._executor,
            journal=self._journal,
            on_step=self._stepped,
            on_progress=self._progressed,
            on_note=self._notes.keep,
        )
        self._loop, self.began = asyncio.get_running_loop(), time.time()
        self._notes.begin(self._driver.elapsed, self._journal)
        self._driver.post(Occurred(Event.START))
        self._running = asyncio.create_task(self._driver.run(), name=f"nodeinit {self.name}")
        self._running.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Release, close the journal and what was connected here. Cannot be cut short by a cancel."""
        await through(self._end())

    async def wait_for(self, state: str = Frame.READY) -> Snapshot:
        """Wait until the node is in a state.

        Raises `InitializationFailed` or `InitializationCancelled` when it ended in another final
        state than the one waited for.
        """
        assert self._driver is not None, "enter the NodeInitializer first: async with …"
        seen = len(self._driver.steps)
        if self.state == state:
            return self.snapshot
        while True:
            # Steps and not only the present state: it may have been there and gone on already.
            for step in self._driver.steps[seen:]:
                if step.after.state == state:
                    return step.after
            seen = len(self._driver.steps)
            if self.state in FINALS:
                raise self._failure()
            if self._running is not None and self._running.done():
                await self._revive()
                continue
            self._changed.clear()
            await self._changed.wait()

    async def cancel(self, why: str = "cancelled") -> Snapshot:
        """Stop on the way to ready, or give a ready node back; returns the final snapshot."""
        return await self._finish(Occurred(Event.CANCEL, reason=Reason("cancelled", why)))

    async def release(self) -> Snapshot:
        """Give a ready node back (or stop one that is not ready); returns the final snapshot."""
        return await self._finish(Occurred(Event.RELEASE))

    async def _finish(self, occurred: Occurred) -> Snapshot:
        driver, running = self._driver, self._running
        if driver is None or running is None:
            return self.snapshot
        while not running.done():
            # A release is for a ready node; one on its way is cancelled. The state may change
            # between the look and the event: then the event is refused, and we look again.
            if occurred.event is Event.RELEASE and driver.snapshot.state != Frame.READY:
                asking = asyncio.ensure_future(driver.ask(Occurred(Event.CANCEL)))
            else:
                asking = asyncio.ensure_future(driver.ask(occurred))
            await asyncio.wait({asking, running}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                asking.cancel()
            elif asking.result().accepted or driver.snapshot.state == Frame.RELEASING:
                await asyncio.wait({running})
        await self._revive()
        return self.snapshot

    async def _revive(self) -> None:
        """The driver's task may have been cancelled from outside, even before its first step."""
        if self._driver is not None and self.state not in FINALS:
            why = Reason("cancelled", "the node's task was cancelled from outside")
            self._running = asyncio.create_task(self._driver.abort(why))
            await asyncio.wait({self._running})
            if self.state not in FINALS and (error := self._running.exception()) is not None:
                raise error

    async def _end(self) -> None:
        try:
            await self.release()
            await self._let_go()
        finally:
            await self._subscribers.close()
            await self._progress.close()
            if self._journal is not None:
                self._journal.close()
            if self._own_cluster and self._cluster is not None:
                await self._cluster.close()

    async def _let_go(self) -> None:
        """Let others remove the model from hosts. What fails here ends with this process."""
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_LET_GO):
                    await self._cluster.let_go(self.name)

    def _stepped(self, step: Step) -> None:
        if step.before.state != step.after.state:
            self._reports.clear()  # they were about the work of the state that was left
        self._changed.set()
        self._subscribers.publish(step)

    def _elapsed(self) -> float:
        """Seconds since the start, from any thread."""
        if self._driver is None or self._driver.began is None or self._loop is None:
            return 0.0
        return self._loop.time() - self._driver.began

    def _progressed(self, report: Any) -> None:
        if isinstance(report, Progress):  # the activity of somebody else's phase may tell anything
            self._reports[report.node_id] = report
            self._notes.progress(report)
        self._progress.publish(report)

    def _failure(self) -> InitializationFailed:
        now = self.snapshot
        reason = now.reason or Reason("error", f"the node ended in {now.state}")
        kind = InitializationFailed if now.state == Frame.FAILED else InitializationCancelled
        failure = kind(reason, journal=self.journal)
        if kind is InitializationFailed and self._driver is not None:
            failure.__cause__ = self._driver.error
        return failure


def _name_for(model_id: str) -> str:
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", model_id).strip("-").lower()[:40]
    return f"nodeinit-{slug or 'node'}-{uuid.uuid4().hex[:8]}"


async def _default_cluster(executor: Executor) -> Cluster:
    """A Ray of this process. Imported by name: this layer knows clusters only by their port."""
    module = importlib.import_module("nodeinit.ray.cluster")
    connecting = asyncio.ensure_future(executor.call(module.RayCluster.connect))
    try:
        cluster: Cluster = await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await (await connecting).close()
        raise
    return cluster
