"""What the engine costs, as ratios measured side by side in one process. `pytest -m bench -s`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from transitions import Machine
from transitions.extensions.asyncio import AsyncMachine

from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition, Edge, Phase, retries
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import Event, Occurred
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.guards import attempts_left, temporary
from nodeinit.fsm.hooks import BoundCallback, HookRunner
from nodeinit.fsm.policy import Policy
from tests.bench.timing import microseconds

pytestmark = pytest.mark.bench

PHASES = ("config", "download", "placement")
HOOKS = ("on_before_init", "on_before_download", "on_before_placement", "on_after_init")


@attrs.frozen
class Ctx:
    n: int = 0


async def nothing(ctx: Ctx, run: Any) -> Ctx:
    return ctx


ROW = Definition(
    name="row",
    context=Ctx,
    phases=tuple(Phase(phase, nothing) for phase in PHASES),
    edges=(
        Edge("idle", "start", "config", hooks=HOOKS[:1]),
        Edge("config", "done", "download", hooks=HOOKS[1:2]),
        Edge("download", "done", "placement", hooks=HOOKS[2:3]),
        Edge("placement", "done", "ready", hooks=HOOKS[3:]),
        Edge(PHASES, ("errored", "elapsed"), "backoff", (temporary, attempts_left)),
        *(Edge("backoff", "retry", phase, (retries(phase),)) for phase in PHASES),
        Edge(("idle", *PHASES), "errored", "releasing"),
        Edge(PHASES, "elapsed", "releasing"),
        Edge(("idle", "backoff", "ready", *PHASES), "cancel", "releasing"),
        Edge("ready", "release", "releasing"),
        Edge("releasing", "undone", "released"),
    ),
)


def show(title: str, measured: dict[str, float], unit: str, per: float, base: str) -> None:
    print(f"\n{title}")
    for name, value in measured.items():
        print(f"  {name:42} {value / per:9.1f} us/{unit}  {value / measured[base]:6.2f} x {base}")


def test_a_step_of_the_core() -> None:
    """Target: at most 15 times a hand-written table, at most 3 times a bare trigger."""
    core = Core(ROW, Policy())
    ctx = Ctx()
    snapshot = core.initial(ctx)
    way = [Occurred(Event.START), *(Occurred(Event.DONE, p, 1, ctx) for p in PHASES)]
    repeat = 50

    def ours() -> None:
        for _ in range(repeat):
            now = snapshot
            for occurred in way:
                now = core.step(now, occurred).after

    table = {
        ("idle", "start"): (lambda c: True, "config"),
        ("config", "done"): (lambda c: True, "download"),
        ("download", "done"): (lambda c: True, "placement"),
        ("placement", "done"): (lambda c: True, "ready"),
    }

    def hand_written() -> None:
        for _ in range(repeat):
            state, now = "idle", ctx
            for occurred in way:
                passes, target = table[state, occurred.event.value]
                if passes(now):
                    now = attrs.evolve(now, n=now.n + 1)
                    state = target

    class Model:
        state = "idle"

    states = ["idle", *PHASES, "ready"]
    machine = Machine(model=None, states=states, initial="idle", auto_transitions=False)
    for (source, event), (_, target) in table.items():
        machine.add_transition(event, source, target, conditions=[lambda: True])
    triggers = [machine.events["start"].trigger, *[machine.events["done"].trigger] * 3]

    def bare() -> None:
        for _ in range(repeat):
            model = Model()
            for trigger in triggers:
                trigger(model)

    measured = microseconds({"table": hand_written, "bare trigger": bare, "Core.step": ours})
    show("a step of the core", measured, "step", repeat * len(way), "table")
    over_table = measured["Core.step"] / measured["table"]
    over_bare = measured["Core.step"] / measured["bare trigger"]
    print(f"  ratios: {over_table:.1f} x table (target 15), {over_bare:.2f} x bare (target 3)")
    assert over_table > 0


class Hooks:
    """Four async hooks that each answer with a new context."""

    async def on_before_init(self, ctx: Ctx) -> Ctx:
        return attrs.evolve(ctx, n=ctx.n + 1)

    on_before_download = on_before_placement = on_after_init = on_before_init


def test_a_whole_run_from_idle_to_ready() -> None:
    """Target: at most twice the stock `AsyncMachine` on the same path with the same hooks."""
    core = Core(ROW, Policy())
    instance = Hooks()
    hooks = HookRunner([BoundCallback("Hooks", instance, frozenset(HOOKS))], InlineExecutor(), Ctx)

    async def ours() -> None:
        driver = Driver(core, Ctx(), cluster=None, hooks=hooks, executor=InlineExecutor())
        reached = asyncio.Event()
        driver._on_step = lambda step: reached.set() if step.after.state == "ready" else None
        driver.post(Occurred(Event.START))
        running = asyncio.ensure_future(driver.run())
        await reached.wait()
        driver.post(Occurred(Event.RELEASE))
        await running
        assert driver.steps[-3].after.ctx.n == 4

    class Model:
        """What users write: hooks as callbacks that assign to the model, activities on entry."""

        def __init__(self) -> None:
            self.ctx = Ctx()

        async def hook(self) -> None:
            self.ctx = await instance.on_before_init(self.ctx)

        async def activity(self) -> None:
            self.ctx = await nothing(self.ctx, None)

    states = [
        "idle",
        *({"name": phase, "on_enter": "activity"} for phase in PHASES),
        "ready",
        "releasing",
        "released",
    ]
    edges = [
        ("start", "idle", "config"),
        ("done", "config", "download"),
        ("done", "download", "placement"),
        ("done", "placement", "ready"),
        ("release", "ready", "releasing"),
        ("undone", "releasing", "released"),
    ]

    def stock_machine() -> AsyncMachine:
        machine = AsyncMachine(model=None, states=states, initial="idle", auto_transitions=False)
        for event, source, target in edges:
            before = ["hook"] if event in ("start", "done") else []
            machine.add_transition(event, source, target, before=before)
        return machine

    shared = stock_machine()

    async def stock() -> None:
        model = Model()
        shared.add_model(model)
        for event in ("start", "done", "done", "done", "release", "undone"):
            await getattr(model, event)()
        assert model.ctx.n == 4
        shared.remove_model(model)

    with asyncio.Runner() as runner:

        async def many(run: Callable[[], Any]) -> None:
            for _ in range(20):
                await run()

        measured = microseconds(
            {
                "AsyncMachine": lambda: runner.run(many(stock)),
                "Driver": lambda: runner.run(many(ours)),
            },
            rounds=25,
        )
    show("a whole run idle -> ready -> released", measured, "run", 20, "AsyncMachine")
    ratio = measured["Driver"] / measured["AsyncMachine"]
    print(f"  ratio: {ratio:.2f} x AsyncMachine (target 2)")
    assert ratio > 0
