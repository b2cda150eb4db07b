"""One run of the standard machine on a simulated cluster: the real core and driver, virtual time.

`drive` brings a node up, lets the acts of a scenario happen, and releases what stays ready. What the
laws (`nodeinit.testing.laws`) find broken on the way is in `Trial.breaches`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from nodeinit.clusters.simulated import SimCluster
from nodeinit.context import CallbackCtx
from nodeinit.fsm.core import Core
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import Event, Frame, Occurred, Reason
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.hooks import BoundCallback, HookRunner
from nodeinit.fsm.journal import Journal
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, Step
from nodeinit.testing import laws
from nodeinit.testing.remembering import RememberingExecutor
from nodeinit.testing.scenario import Act, Scenario

STEPS_BOUND = 600
SOON = 5.0  # seconds after the end, for whoever was told to stop and looks now and then


@attrs.frozen
class Breach:
    """A law that was broken: its id (see `nodeinit.testing.checks`), how, and where in the source.

    `hook` is the hook that is to blame, if one is; `line` is `file.py:12` in the callback.
    """

    check: str
    message: str
    hook: str = ""
    line: str = ""


@attrs.define(eq=False)
class Trial:
    """A run under way, and what became of it."""

    scenario: Scenario
    cluster: SimCluster
    driver: Driver = attrs.field(init=False)
    bound: float = 10_000.0
    breaches: list[Breach] = attrs.field(factory=list)
    killed: list[tuple[float, str]] = attrs.field(factory=list)
    cancelled_at: float | None = None
    cancelled_in: str = ""
    cancel_heard: bool = False
    was_ready: bool = False
    performed: int = 0
    tasks_left: frozenset[asyncio.Task[Any]] = frozenset()

    def say(self, check: str, message: str, **where: str) -> None:
        """Record that a law is broken."""
        self.breaches.append(Breach(check, message, **where))

    @property
    def end(self) -> Snapshot:
        """Where the machine stands, in the end."""
        return self.driver.snapshot

    @property
    def slack(self) -> float:
        """How long hooks blocked the loop of the run: in production they block a thread instead."""
        return float(getattr(asyncio.get_running_loop(), "advanced", 0.0))

    @property
    def states(self) -> list[str]:
        """The states that were entered, in order."""
        return [s.after.state for s in self.driver.steps if s.before.state != s.after.state]

    @property
    def taken(self) -> list[tuple[str, str, str]]:
        """The edges that were taken, in order: from, event, to."""
        return [
            (step.before.state, str(step.occurred.event), step.after.state)
            for step in self.driver.steps
            if step.edge is not None and step.accepted
        ]

    @property
    def edges(self) -> set[tuple[str, str, str]]:
        """The edges that were taken, each once."""
        return set(self.taken)

    def soon_after(self) -> None:
        """Called a little after the end: whatever nobody told to stop is still there."""

    def stepped(self, step: Step) -> None:
        """Judge a step; called as soon as it is committed."""
        laws.judge_step(self, step)
        if len(self.driver.steps) == STEPS_BOUND:
            self.say("M3", f"{STEPS_BOUND} steps and no end")
            self.driver.post(Occurred(Event.CANCEL))


@functools.cache
def _core(core_cls: Any, definition: Any, policy: Policy) -> Core:
    made: Core = core_cls(definition, policy)
    return made


def attach(
    trial: Trial,
    ctx: CallbackCtx,
    callbacks: Sequence[BoundCallback],
    policy: Policy,
    definition: Any,
    *,
    core_cls: type[Core] = Core,
    driver_cls: type[Driver] = Driver,
    journal: Any = None,
) -> None:
    """Give a trial its driver, with the callbacks bound to the machine."""
    kind: Any = core_cls
    if policy.heal != trial.scenario.heal:
        policy = attrs.evolve(policy, heal=trial.scenario.heal)
    core = _core(kind, definition, policy)
    hooks = HookRunner(
        callbacks,
        InlineExecutor(),
        CallbackCtx,
        definition.check_change,
        deadline=core.policy.hook_deadline,
    )
    trial.driver = driver_cls(
        core,
        ctx,
        cluster=trial.cluster,
        hooks=hooks,
        name="node",
        executor=RememberingExecutor(),
        journal=Journal(journal, core, ctx, "node") if journal else None,
        on_step=lambda step: trial.stepped(step),
    )


async def drive(trial: Trial, *, before_end: Callable[[], None] = lambda: None) -> bool:
    """Run to a final state and judge the end; `False` when there was none within the bounds.

    `before_end` is called in the final state, before it is judged.
    """
    loop, driver = asyncio.get_running_loop(), trial.driver
    driver.post(Occurred(Event.START))
    acts = sorted(trial.scenario.acts, key=lambda a: (a.rounds >= 0, a.at, a.rounds))
    while acts and acts[0].rounds < 0:
        perform(trial, acts.pop(0))
    running = asyncio.ensure_future(driver.run())
    for act in acts:
        if act.at > loop.time():
            await asyncio.wait({running}, timeout=act.at - loop.time())
        for _ in range(act.rounds):
            await asyncio.sleep(0)
        perform(trial, act)
    # A node that stays ready is released in the end; any other may take its time, not for ever.
    bound = loop.time() + trial.bound
    while not running.done() and loop.time() < bound:
        await asyncio.wait({running}, timeout=60)
        if driver.snapshot.state == Frame.READY and driver.steps[-1].at < loop.time() - 60:
            driver.post(Occurred(Event.RELEASE))
    if not running.done():
        trial.say("M3", f"it hangs in {driver.snapshot.state}")
        running.cancel()
        return False
    if driver._journal is not None:
        driver._journal.close()
    ended = driver.steps[-1].at
    await asyncio.sleep(SOON)
    trial.soon_after()
    await asyncio.sleep(2 * driver.core.policy.grace)  # whoever was abandoned has ended by now
    trial.tasks_left = frozenset(asyncio.all_tasks() - {asyncio.current_task()})
    before_end()
    laws.judge_end(trial, ended)
    return True


def perform(trial: Trial, act: Act) -> None:
    """Let something happen from outside, now."""
    now = asyncio.get_running_loop().time()
    trial.performed += 1
    match act.what:
        case "cancel":
            if trial.cancelled_at is None:
                trial.cancelled_at = now
                trial.cancelled_in = trial.driver.snapshot.state
            trial.driver.post(Occurred(Event.CANCEL))
        case "release":
            trial.driver.post(Occurred(Event.RELEASE))
        case "kill":
            trial.killed.append((now, act.node_id))
            trial.cluster.kill_host(act.node_id)
        case "join":
            if act.node_id not in trial.cluster.hosts:
                trial.cluster.add_host(trial.scenario.host(act.node_id))
        case "steal":
            trial.cluster.steal(act.node_id)
        case "disk_full":
            reason = Reason("journal", "the journal cannot be written: No space left on device")
            trial.driver.post(Occurred(Event.ERRORED, reason=reason))
