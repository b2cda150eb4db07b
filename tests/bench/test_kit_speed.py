"""What a sequence of the test kit costs, and how much of that is the engine itself.

    pytest -m bench -s tests/bench/test_kit_speed.py

The measure is one trigger of a bare machine of `transitions`, in the same process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from transitions import Machine

from nodeinit import CallbackCtx, LLMConfig
from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition, Edge
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import Event, Frame, Occurred
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.hooks import HookRunner
from nodeinit.testing.generate import WORLDS
from nodeinit.testing.harness import POLICY, Harness
from nodeinit.testing.virtual_time import VirtualLoop, run_virtual
from nodeinit_machines.node_init import NODE_INIT
from tests.bench.test_kit import checked
from tests.bench.timing import microseconds
from tests.mutants.corpus import CORRECT

pytestmark = pytest.mark.bench
TRIGGERS, RUNS = 2_000, 100


def test_what_a_sequence_costs() -> None:
    """Of a whole check, of one plain run in it, and of the engine with nothing to do."""
    cls, kwargs = CORRECT[0]
    made = checked(cls, kwargs, RUNS).sequences
    with Harness(cls, kwargs) as harness:
        times = microseconds(
            {
                "trigger": bare(),
                "sequence of a check": lambda: checked(cls, kwargs, RUNS),
                "plain run to ready and back": lambda: [
                    harness.run(WORLDS[0]) for _ in range(RUNS)
                ],
                "engine alone to ready and back": engine_alone(),
            },
            rounds=9,
            clock=time.process_time_ns,
        )
    trigger = times.pop("trigger") / TRIGGERS
    print(f"\n  a bare trigger takes {trigger:.1f} µs")
    for name, taken in times.items():
        each = taken / (made if name == "sequence of a check" else RUNS)
        print(f"  {name}: {each / trigger:.0f} bare triggers ({1e6 / each:.0f} a second)")
        assert each < 1_000 * trigger


def plain(harness: Harness) -> None:
    for _ in range(RUNS):
        harness.run(WORLDS[0])


def bare() -> Callable[[], None]:
    class Model:
        go: Callable[[], bool]

    model = Model()
    machine = Machine(model, states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("go", "a", "b")
    machine.add_transition("go", "b", "a")

    def run() -> None:
        for _ in range(TRIGGERS):
            model.go()

    return run


def engine_alone() -> Callable[[], None]:
    """Core and driver on the virtual loop: no hook, no cluster, no law; phases wait and answer."""
    definition = idle_machine()
    core = Core(definition, POLICY)
    ctx = CallbackCtx(llm_config=LLMConfig(model_id="org/model"))
    loop = VirtualLoop()

    async def once() -> None:
        hooks = HookRunner((), InlineExecutor(), CallbackCtx, definition.check_change)
        driver = Driver(core, ctx, cluster=None, hooks=hooks, executor=InlineExecutor())
        driver.post(Occurred(Event.START))
        running = asyncio.ensure_future(driver.run())
        await asyncio.sleep(1)
        assert driver.snapshot.state == Frame.READY
        driver.post(Occurred(Event.RELEASE))
        assert (await running).state == Frame.RELEASED

    def run() -> None:
        for _ in range(RUNS):
            loop.reset()
            run_virtual(once(), loop=loop)

    return run


def idle_machine() -> Definition:
    """The standard machine with phases that do nothing, and guards that let everything pass."""

    async def answer(ctx: Any, _run: Any) -> Any:
        await asyncio.sleep(0.01)
        return ctx

    async def watch(_ctx: Any, _run: Any) -> str:
        await asyncio.sleep(1e6)
        return "over"

    def open_(edge: Edge) -> Edge:
        if edge.target != NODE_INIT.goal:
            return edge
        passing = (attrs.evolve(guard, check=lambda *_: None) for guard in edge.guards)
        return attrs.evolve(edge, guards=tuple(passing))

    return attrs.evolve(
        NODE_INIT,
        phases=tuple(attrs.evolve(phase, activity=answer) for phase in NODE_INIT.phases),
        edges=tuple(map(open_, NODE_INIT.edges)),
        watch=watch,
    )
