"""One whole run of the standard machine on a simulated cluster, and the promise it has to keep.

A `Scenario` is all that varies: the cluster, the request, what the user's hooks do, what goes wrong
and what somebody does from outside at which moment. `run` drives the real core and driver in
virtual time, as `nodeinit.testing` does for the callbacks of others; the laws that both judge by are
in `nodeinit.testing.laws`, what is said here is what only this callback can tell.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec
from nodeinit.clusters.simulated import SimCluster, SimFault
from nodeinit.context import CallbackCtx
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.fsm.core import Core
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import Event, Frame
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.snapshot import Step
from nodeinit.node.binding import bind_callbacks
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, PlacementPlan
from nodeinit.testing import scenario as kit
from nodeinit.testing.laws import base_of
from nodeinit.testing.scenario import Act, config_of
from nodeinit.testing.trial import Trial, attach, drive
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


@attrs.frozen
class Scenario(kit.Scenario):
    hooks: tuple[tuple[str, str], ...] = ()  # (hook, behaviour)
    asynchronous: bool = True
    raise_error: bool = True


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
                return attrs.evolve(ctx, llm_config=config_of(9, 9, "node"))
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


@attrs.define(eq=False)
class Outcome(Trial):
    user: Behaving = attrs.field(kw_only=True)
    probe: Probe = attrs.field(kw_only=True)

    @property
    def broken(self) -> list[str]:
        return [f"{breach.check}: {breach.message}" for breach in self.breaches]

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        _check_step(self, step)


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
    cluster = scenario.cluster()
    outcome = Outcome(scenario, cluster, user=Behaving(scenario, cluster), probe=Probe())
    specs = [CallbackSpec(outcome.probe)]
    if scenario.hooks:
        specs.insert(0, CallbackSpec(outcome.user, raise_error=scenario.raise_error))
    ctx = CallbackCtx(llm_config=config_of(scenario.tp, scenario.pp, scenario.pin))
    callbacks = bind_callbacks(specs, definition)
    classes = {"core_cls": core_cls, "driver_cls": driver_cls}
    attach(outcome, ctx, callbacks, POLICY, definition, **classes, journal=journal)
    if await drive(outcome):
        _check_end(outcome)
    return outcome


def _may_be_stubborn(scenario: Scenario) -> bool:
    return any(behaviour == "stubborn" for _, behaviour in scenario.hooks)


ALWAYS_FAIL = {"raise", "permanent", "garbage", "forbidden", "config", "mutate", "exit"}


def _check_step(outcome: Outcome, step: Step) -> None:
    """What the hooks of this callback show of every step."""
    edge, occurred = step.edge, step.occurred
    if edge is None or not step.accepted or edge.observes:
        return
    if step.hooks and step.hooks[-1].callback.endswith("Probe") and step.hooks[-1].error is None:
        was, now = (c.custom_data.get("probe", 0) for c in (base_of(step), step.after.ctx))
        if now != was + 1:
            outcome.say("M2", f"an update of a hook was lost: {was} -> {now}")
    if outcome.scenario.raise_error:
        if any(r.error for r in step.hooks) and occurred.event is not Event.ERRORED:
            outcome.say("M2", f"{occurred.event} was committed although a hook failed")
        failing = {h for h, b in outcome.scenario.hooks if b in ALWAYS_FAIL}
        if failing & set(edge.hooks):
            outcome.say(
                "M2", f"{occurred.event} was committed although {edge.hooks} cannot succeed"
            )


def _check_end(outcome: Outcome) -> None:
    """What only this callback can tell: its groups are untouched, and it was told of the end."""
    end = outcome.end
    for name in outcome.user.groups:
        if name not in outcome.cluster.groups:
            outcome.say("R3-foreign", f"the user's group {name} was removed")
    if bool(outcome.probe.failed) != (end.state != Frame.RELEASED):
        outcome.say("M2", f"on_init_failed fired {len(outcome.probe.failed)} times in {end.state}")
    if outcome.tasks_left and not _may_be_stubborn(outcome.scenario):
        outcome.say("R4-tasks", f"tasks run on: {outcome.tasks_left}")


__all__ = ["NODE_INIT", "Act", "NodeInitError", "Outcome", "Scenario", "SimFault", "run"]
