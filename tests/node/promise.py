"""One whole run of the standard machine on a simulated cluster, and the promise it has to keep.

A `Scenario` is all that varies: the cluster, the request, what the user's hooks do, what goes wrong
and what somebody does from outside at which moment. `run` drives the real core and driver in
virtual time; `check` says what of the promise is broken.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec
from nodeinit.clusters.simulated import SimCluster, SimFault, sim_host
from nodeinit.config import LLMConfig
from nodeinit.context import FIELDS, CallbackCtx
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.fsm.core import Core
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import FINALS, Event, Frame, Occurred
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.hooks import HookRunner
from nodeinit.fsm.journal import Journal
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.snapshot import Snapshot, Step
from nodeinit.node.initializer import bind_callbacks
from nodeinit.node.planning import mode_on, request_of
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations_of_placement
from nodeinit.placement.topology import Bundle, PlacementPlan
from nodeinit.testing.virtual_time import VirtualLoop, run_virtual

NODE_INIT = load_machine("node_init")
HOOKS = ("on_before_init", "on_before_download", "on_before_placement", "on_after_init")
POLICY = Policy(
    default=PhasePolicy(deadline=200, attempts=3, backoff=Backoff(1, 2, 20)),
    replans=2,
    hook_deadline=30,
    grace=20,
    undo_deadline=30,
)
CANCEL_BOUND = 400.0  # virtual seconds: grace, an undo of everything with its retries, the hooks
STEPS_BOUND = 600
RUN_BOUND = 10_000.0  # virtual seconds; all deadlines, tries and plans together come to less


@attrs.frozen
class Act:
    """Something that happens from outside at a moment: `cancel`, `release`, `kill`, `steal`."""

    at: float
    what: str
    node_id: str = ""


@attrs.frozen
class Scenario:
    gpus: tuple[int, ...] = (8, 8)
    tp: int = 2
    pp: int = 1
    hooks: tuple[tuple[str, str], ...] = ()  # (hook, behaviour)
    asynchronous: bool = True
    raise_error: bool = True
    faults: tuple[SimFault, ...] = ()
    acts: tuple[Act, ...] = ()
    heal: bool = True
    pin: str = "node"

    @property
    def node_ids(self) -> tuple[str, ...]:
        return tuple("abcdefgh"[: len(self.gpus)])


@functools.cache
def config(tp: int, pp: int, pin: str = "node") -> LLMConfig:
    return LLMConfig(
        model_id="sim/model",
        model_source="/models/sim",
        engine_kwargs={"tensor_parallel_size": tp, "pipeline_parallel_size": pp},
        nodeinit={"pin": pin},
    )


@functools.cache
def _core(core_cls: Any, definition: Any, heal: bool) -> Core:
    made: Core = core_cls(definition, attrs.evolve(POLICY, heal=heal))
    return made


class Behaving:
    """A callback made of one behaviour per hook."""

    def __init__(self, scenario: Scenario, cluster: SimCluster) -> None:
        self.scenario = scenario
        self.cluster = cluster
        self.calls = 0
        for hook, behaviour in scenario.hooks:
            setattr(self, hook, self._hook(hook, behaviour))
        self.groups: list[str] = []

    def _hook(self, hook: str, behaviour: str) -> Any:
        async def async_hook(ctx: CallbackCtx, *args: Any) -> Any:
            await asyncio.sleep(0.5)
            if behaviour == "hang":
                await asyncio.get_running_loop().create_future()
            if behaviour == "stubborn":
                for _ in range(3):
                    try:
                        await asyncio.sleep(100)
                    except asyncio.CancelledError:
                        continue
            return self._behave(behaviour, ctx)

        def sync_hook(ctx: CallbackCtx, *args: Any) -> Any:
            return self._behave(behaviour, ctx)

        return async_hook if self.scenario.asynchronous else sync_hook

    def _behave(self, behaviour: str, ctx: CallbackCtx) -> Any:
        self.calls += 1
        match behaviour:
            case "data":
                return ctx.evolve(custom_data=ctx.custom_data.set(f"k{self.calls}", self.calls))
            case "raise":
                raise KeyError("a bug of the user's")
            case "temporary":
                raise TemporaryError("not yet")
            case "flaky":
                if self.calls < 2:
                    raise TemporaryError("not yet", delay=3)
            case "later":
                if self.calls > 1:
                    raise PermanentError("only once")
            case "permanent":
                raise PermanentError("never")
            case "garbage":
                return {"worker_node_download_model": "NONE"}
            case "forbidden":
                return attrs.evolve(ctx, plan=None, attempt=99, nodes={})
            case "config":
                return attrs.evolve(ctx, llm_config=config(9, 9))
            case "mutate":
                ctx.attempt = 7  # type: ignore[misc]
            case "exit":
                raise SystemExit(1)
            case "mode":
                return ctx.evolve(worker_node_download_model="TOKENIZER_ONLY")
            case "request":
                return ctx.evolve(placement_group=PlacementRequest.of(tensor_parallel_size=1))
            case "impossible":
                return ctx.evolve(placement_group=PlacementRequest.of(tensor_parallel_size=64))
            case "adopt":
                return ctx.evolve(placement_group=self._own_group(ctx))
            case "adopt_wrong":
                bundles = [Bundle.of(GPU=1)]
                first = next(iter(self.cluster.hosts))
                group = self.cluster.make_group(bundles, [first], name=f"users-{self.calls}")
                self.groups.append(group.name)
                return ctx.evolve(placement_group=group)
            case "skip":
                return ctx.evolve(run_init_node=False)
        return None

    def _own_group(self, ctx: CallbackCtx) -> Any:
        request = PlacementRequest.from_config(ctx.llm_config)
        found = plan(request, self.cluster.now())
        if not isinstance(found, PlacementPlan):
            return ctx.placement_group
        name = f"users-{self.calls}"
        self.groups.append(name)
        return self.cluster.make_group(
            found.bundles, found.node_ids, name=name, strategy=found.strategy
        )


class Probe:
    """Sees every hook last; keeps what it saw and adds to it, so that a lost update shows."""

    def __init__(self) -> None:
        self.failed: list[CallbackCtx] = []

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(
            custom_data=ctx.custom_data.set("probe", ctx.custom_data.get("probe", 0) + 1)
        )

    on_before_download = on_before_placement = on_after_init = on_before_init

    async def on_init_failed(self, ctx: CallbackCtx) -> None:
        self.failed.append(ctx)


@attrs.define
class Outcome:
    scenario: Scenario
    driver: Driver
    cluster: SimCluster
    user: Behaving
    probe: Probe
    broken: list[str] = attrs.field(factory=list)
    killed: list[tuple[float, str]] = attrs.field(factory=list)
    cancelled_at: float | None = None
    cancelled_in: str = ""
    cancel_heard: bool = False
    was_ready: bool = False

    @property
    def end(self) -> Snapshot:
        return self.driver.snapshot

    @property
    def states(self) -> list[str]:
        return [s.after.state for s in self.driver.steps if s.before.state != s.after.state]


def run(
    scenario: Scenario,
    *,
    core_cls: type[Core] = Core,
    driver_cls: type[Driver] = Driver,
    definition: Any = NODE_INIT,
    journal: Any = None,
    loop: VirtualLoop | None = None,
) -> Outcome:
    """Drive one scenario to its end in virtual time and check the promise on the way."""
    return run_virtual(_main(scenario, core_cls, driver_cls, definition, journal), loop=loop)


async def _main(
    scenario: Scenario, core_cls: Any, driver_cls: Any, definition: Any, journal: Any
) -> Outcome:
    loop = asyncio.get_running_loop()
    hosts = [
        sim_host(n, GPU=g, CPU=32) for n, g in zip(scenario.node_ids, scenario.gpus, strict=True)
    ]
    cluster = SimCluster(hosts, faults=scenario.faults)
    user, probe = Behaving(scenario, cluster), Probe()
    specs = [CallbackSpec(probe)]
    if scenario.hooks:
        specs.insert(0, CallbackSpec(user, raise_error=scenario.raise_error))
    llm_config = config(scenario.tp, scenario.pp, scenario.pin)
    core = _core(core_cls, definition, scenario.heal)
    ctx = CallbackCtx(llm_config=llm_config)
    hooks = HookRunner(
        bind_callbacks(specs, definition),
        InlineExecutor(),
        CallbackCtx,
        definition.check_change,
        deadline=core.policy.hook_deadline,
    )
    driver = driver_cls(
        core,
        ctx,
        cluster=cluster,
        hooks=hooks,
        name="node",
        executor=InlineExecutor(),
        journal=Journal(journal, core, ctx, "node") if journal else None,
    )
    outcome = Outcome(scenario, driver, cluster, user, probe)
    driver._on_step = lambda step: _check_step(outcome, step)
    driver.post(Occurred(Event.START))
    running = asyncio.ensure_future(driver.run())
    for act in sorted(scenario.acts, key=lambda a: a.at):
        await asyncio.wait({running}, timeout=max(0.0, act.at - loop.time()))
        _act(outcome, act)
    # A node that stays ready is released in the end; any other may take its time, not for ever.
    bound = loop.time() + RUN_BOUND
    while not running.done() and loop.time() < bound:
        await asyncio.wait({running}, timeout=60)
        if driver.snapshot.state == Frame.READY and driver.steps[-1].at < loop.time() - 60:
            driver.post(Occurred(Event.RELEASE))
    if not running.done():
        outcome.broken.append(f"it hangs in {driver.snapshot.state}")
        running.cancel()
        return outcome
    if driver._journal is not None:
        driver._journal.close()
    ended = driver.steps[-1].at
    await asyncio.sleep(2 * POLICY.grace)  # whoever was abandoned has ended by now
    _check_end(outcome, ended)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others and not _may_be_stubborn(scenario):
        outcome.broken.append(f"tasks run on: {others}")
    return outcome


def _act(outcome: Outcome, act: Act) -> None:
    now = asyncio.get_running_loop().time()
    match act.what:
        case "cancel":
            if outcome.cancelled_at is None:
                outcome.cancelled_at = now
                outcome.cancelled_in = outcome.driver.snapshot.state
            outcome.driver.post(Occurred(Event.CANCEL))
        case "release":
            outcome.driver.post(Occurred(Event.RELEASE))
        case "kill":
            outcome.killed.append((now, act.node_id))
            outcome.cluster.kill_host(act.node_id)
        case "steal":
            outcome.cluster.steal(act.node_id)


def _may_be_stubborn(scenario: Scenario) -> bool:
    return any(behaviour == "stubborn" for _, behaviour in scenario.hooks)


ALWAYS_FAIL = {"raise", "permanent", "garbage", "forbidden", "config", "mutate", "exit"}
ENGINE_FIELDS = [n for n, f in FIELDS.items() if f.metadata["writable_in"] == ()]


def _check_step(outcome: Outcome, step: Step) -> None:
    """Laws of every step."""
    say = outcome.broken.append
    before, after, occurred = step.before, step.after, step.occurred
    if step.accepted and step.hooks and step.edge is not None:
        base = occurred.ctx if occurred.ctx is not None else before.ctx
        if step.edge.assign:
            base = step.edge.assign(attrs.evolve(after, ctx=base), occurred).ctx
        for name in ENGINE_FIELDS:
            if getattr(base, name) != getattr(after.ctx, name):
                say(f"a hook changed {name}, which only the engine may")
        if step.hooks[-1].callback.endswith("Probe") and step.hooks[-1].error is None:
            if not step.edge.observes:
                was, now = (c.custom_data.get("probe", 0) for c in (base, after.ctx))
                if now != was + 1:
                    say(f"an update of a hook was lost: {was} -> {now}")
    if step.accepted and step.edge is not None and any(r.error for r in step.hooks):
        raised = outcome.scenario.raise_error
        if raised and not step.edge.observes and occurred.event is not Event.ERRORED:
            say(f"{occurred.event} was committed although a hook failed")
    if step.accepted and step.edge is not None and not step.edge.observes:
        failing = {h for h, b in outcome.scenario.hooks if b in ALWAYS_FAIL}
        if outcome.scenario.raise_error and failing & set(step.edge.hooks):
            say(f"{occurred.event} was committed although {step.edge.hooks} cannot succeed")
    if after.state == Frame.BACKOFF and before.state != Frame.BACKOFF:
        if after.ctx is not before.ctx:
            say("a retry does not begin with the context that the phase began with")
    if occurred.event is Event.ACQUIRING and step.accepted:
        order = outcome.driver.core.definition.order
        for held in before.held:
            if order(held.phase) >= order(before.state) and held.attempt != occurred.attempt:
                say(f"{held.name} of an earlier try is still held while {before.state} acquires")
    if (
        occurred.event is Event.CANCEL
        and not outcome.cancel_heard
        and outcome.cancelled_at is not None
    ):
        outcome.cancel_heard = True
        late = step.at - outcome.cancelled_at
        if late > 2 and outcome.cancelled_in not in (Frame.RELEASING, *FINALS):
            say(f"a cancel was heard only after {late:.0f} s")
    if after.state == Frame.READY and before.state != Frame.READY:
        outcome.was_ready = True
        _check_ready(outcome, step)
    if after.state in FINALS and before.state not in FINALS:
        if after.held:
            say(f"{after.state} holds {after.held}")
        if before.state != Frame.RELEASING:
            say(f"{after.state} was entered from {before.state}")
    if before.state in FINALS and step.accepted:
        say(f"{before.state} is final but accepted {occurred.event}")
    if occurred.event is Event.DROPPED and before.state == Frame.RELEASING and step.accepted:
        if before.held[-1].key != occurred.held.key:  # type: ignore[union-attr]
            say("something was given back before what was acquired after it")
    if len(outcome.driver.steps) == STEPS_BOUND:
        say(f"{STEPS_BOUND} steps and no end")
        outcome.driver.post(Occurred(Event.CANCEL))
    for phase, tries in after.tries:
        if tries > outcome.driver.core.policy.of(phase).attempts:
            say(f"{phase} was tried {tries} times")
    if after.replans > outcome.driver.core.policy.replans:
        say(f"{after.replans} new plans")


def _check_ready(outcome: Outcome, step: Step) -> None:
    say = outcome.broken.append
    ctx, cluster = step.after.ctx, outcome.cluster
    hooks_took = sum(run.seconds for run in step.hooks)
    judged = asyncio.get_running_loop().time() - hooks_took - 0.1
    died_since = {node_id for at, node_id in outcome.killed if at >= judged}
    if ctx.placement is None:
        say("ready without a placement")
        return
    group = next((g for g in cluster.groups.values() if g.id == ctx.placement.group_id), None)
    if group is None:
        say("ready, but Ray knows no such group")
    elif group.node_ids != ctx.placement.node_ids:
        say("ready, but Ray put the bundles elsewhere")
    if ctx.plan.node_ids != ctx.placement.node_ids:
        say("ready, but not as planned")
    for broken in violations_of_placement(request_of(ctx), ctx.placement, ctx.observed, ctx.plan):
        say(f"ready, but {broken}")
    for start in range(0, len(ctx.placement.node_ids), request_of(ctx).tensor_parallel_size):
        tp = request_of(ctx).tensor_parallel_size
        if len(set(ctx.placement.node_ids[start : start + tp])) != 1:
            say("ready with a split tensor-parallel group")
    for node_id in set(ctx.placement.hosts) - died_since:
        if not cluster.hosts[node_id].alive:
            say(f"ready on the dead host {node_id}")
        mode = mode_on(ctx, node_id, ctx.placement.hosts)
        if not cluster.is_complete(node_id, ctx.model.manifest, mode):
            say(f"ready without a complete model on {node_id}")


def _check_end(outcome: Outcome, ended: float) -> None:
    """The promise at the end: nothing left behind, a reason, in time; and foreign things untouched."""
    say = outcome.broken.append
    end, cluster = outcome.end, outcome.cluster
    if end.state not in FINALS:
        say(f"it ended in {end.state}")
    if not end.cleanup_errors and cluster.leftovers():
        say(f"left behind: {cluster.leftovers()}")
    if end.state != Frame.RELEASED and (end.reason is None or not end.reason.message):
        say("no reason was given")
    cancel_bound = CANCEL_BOUND * (4 if end.cleanup_errors else 1)
    if outcome.cancelled_at is not None and ended - outcome.cancelled_at > cancel_bound:
        say(f"a cancel took {ended - outcome.cancelled_at:.0f} s")
    for name in outcome.user.groups:
        if name not in cluster.groups:
            say(f"the user's group {name} was removed")
    if bool(outcome.probe.failed) != (end.state != Frame.RELEASED):
        say(f"on_init_failed fired {len(outcome.probe.failed)} times in {end.state}")
    lost_at = next((at for at, n in outcome.killed if outcome.was_ready), None)
    if lost_at is None:
        return
    for earlier, later in itertools.pairwise(s for s in outcome.driver.steps if s.edge):
        hosts = earlier.after.ctx.placement.hosts if earlier.after.state == Frame.READY else ()
        # It is lost at once, but stays where it is until the hooks of the edge have answered.
        heard = later.at - sum(run.seconds for run in later.hooks)
        for at, node_id in outcome.killed:
            if node_id in hosts and earlier.at < at < heard - 10:
                say(f"{node_id} died at {at}, but the node stayed ready until {later.at}")


__all__ = ["NODE_INIT", "Act", "NodeInitError", "Outcome", "Scenario", "SimFault", "run"]
