"""What can go wrong at any moment while bundles are reserved and given back, on a real Ray.

Each injection is a whole story: it reserves in some way, something happens to it at a random
moment, and then what would clean up after it does so. Nothing may be left.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import ray

from nodeinit import CallbackCtx, LLMConfig, NodeInitializer, PermanentError
from nodeinit.clusters.base import Displaced
from nodeinit.context import ModelFiles, NodeReport
from nodeinit.download.manifest import Manifest
from nodeinit.errors import InitializationFailed, TemporaryError
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.fsm.policy import Backoff
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.run import Run
from nodeinit.node.planning import make_plan, mode_on
from nodeinit.node.policy import DEFAULT
from nodeinit.placement.topology import Pin, PlacementPlan
from nodeinit.ray import RayCluster
from tests.ray.conftest import on_hosts
from tests.ray.drivers import driver, heard, tell


@attrs.define
class Case:
    """One injection: its random choices, a name of its own, and the cluster that it is for."""

    rng: random.Random
    name: str
    cluster: RayCluster
    model: Manifest

    def plan(self) -> PlacementPlan:
        """A plan that takes all of some hosts, or a part, pinned in some way."""
        assert self.cluster.hosts is not None
        hosts = self.rng.sample(self.cluster.hosts.node_ids, self.rng.choice([1, 2, 3]))
        strategy = "PACK" if len(hosts) > 1 else self.rng.choice(["PACK", "STRICT_PACK"])
        plan = on_hosts(*(h for h in hosts for _ in range(self.rng.choice([1, 8]))))
        return attrs.evolve(plan, strategy=strategy, pin=self.rng.choice([*Pin, Pin.NODE]))

    def moment(self, most: float = 0.03) -> float:
        """Seconds, often next to none: what is interesting happens at the beginning."""
        return self.rng.choice([0, 0.0005, 0.002, self.rng.uniform(0, most)])


async def cancelled_reserve(case: Case) -> None:
    """A cancel, at any moment of a reservation."""
    task = asyncio.ensure_future(case.cluster.reserve(case.plan(), case.name))
    await asyncio.sleep(case.moment())
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        await case.cluster.remove(case.name)


async def timed_out_reserve(case: Case) -> None:
    """A deadline that runs out, at any moment of a reservation."""
    try:
        async with asyncio.timeout(case.moment()):
            await case.cluster.reserve(case.plan(), case.name)
    except TimeoutError:
        return
    await case.cluster.remove(case.name)


async def cancelled_remove(case: Case) -> None:
    """A cancel at any moment of a removal, which is then repeated, as the machine does."""
    await case.cluster.reserve(case.plan(), case.name)
    task = asyncio.ensure_future(case.cluster.remove(case.name))
    await asyncio.sleep(case.moment(0.15))
    task.cancel()
    await asyncio.wait({task})
    await case.cluster.remove(case.name)


class Flaky(ThreadExecutor):
    """Some calls in a row fail, either before they reach Ray or with their answer lost."""

    def __init__(self, first: int, count: int, lost: bool) -> None:
        self._failing = range(first, first + count)
        self._lost = lost
        self._calls = 0

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        number, self._calls = self._calls, self._calls + 1
        if number not in self._failing:
            return await super().call(function, *args)
        if self._lost:
            await super().call(function, *args)
        raise ray.exceptions.RaySystemError("the head did not answer")


async def failing_calls(case: Case) -> None:
    """Calls to Ray that fail, or whose answers are lost, while a group is made or removed."""
    rng = case.rng
    flaky = Flaky(rng.randrange(12), rng.choice([1, 1, 2, 4]), lost=rng.choice([True, False]))
    cluster = RayCluster(executor=flaky)
    with contextlib.suppress(TemporaryError, Displaced):
        await cluster.reserve(case.plan(), case.name)
    for _ in range(8):
        with contextlib.suppress(TemporaryError):
            await cluster.remove(case.name)
            return
    raise AssertionError("the removal never worked")


class Failing:
    """A callback that fails once the bundles are reserved."""

    def on_after_init(self, ctx: CallbackCtx) -> None:
        raise PermanentError("a bug of the user's")


async def ended_phase(case: Case) -> None:
    """A whole node that is ended in its placement: by a cancel, a deadline, a hook, a failing Ray."""
    rng = case.rng
    how = rng.choice(["cancel", "deadline", "hook", "calls", "release"])
    cluster = case.cluster
    if how == "calls":
        lost = rng.choice([True, False])
        # One less than the machine tries to give a thing back.
        cluster = RayCluster(executor=Flaky(rng.randrange(4, 20), rng.choice([1, 2]), lost=lost))
    tp, pp = rng.choice([(1, 1), (4, 2), (8, 3)])
    config = LLMConfig(
        model_id="org/tiny",
        model_source=case.model.source,
        engine_kwargs={"tensor_parallel_size": tp, "pipeline_parallel_size": pp},
        callback=Failing if how == "hook" else None,
    )
    limits: dict[str, Any] = {"attempts": 2, "backoff": Backoff(0.01, 1, 0.01)}
    if how == "deadline":
        limits["deadline"] = 0.001 + case.moment()
    node = NodeInitializer(
        config,
        cluster=cluster,
        machine=PLACEMENT_ONLY,
        policy=DEFAULT.with_phases(placement=limits),
        name=case.name,
    )
    async with node:
        with contextlib.suppress(InitializationFailed):
            await node.wait_for("placement" if how == "cancel" else "ready")
        if how == "cancel":
            await asyncio.sleep(case.moment())
            await node.cancel()
    assert node.snapshot.cleanup_errors == (), node.explain()


async def _plan(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    """`config` without a look at the model: it is known."""
    plan = await make_plan(ctx, run)
    manifest = await run.cluster.manifest(ctx.llm_config)
    return ctx.evolve(plan=plan, model=ModelFiles(ctx.llm_config.model_source, manifest))


async def _present(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    """`download` of what lies there: the hosts of the tests share the disk of the source."""
    assert ctx.plan is not None and ctx.model is not None
    reports = {}
    for node_id in ctx.plan.hosts:
        mode = mode_on(ctx, node_id, ctx.plan.hosts)
        files = ctx.model.manifest.select(mode)
        reports[node_id] = NodeReport(
            node_id=node_id,
            path=ctx.model.path,
            mode=mode,
            revision=ctx.model.revision,
            files=len(files),
            bytes=0,
            fetched=0,
            verified=True,
        )
    return ctx.evolve(nodes=reports)


def _placement_only() -> Definition:
    standard = load_machine("node_init")
    config, download, placement = standard.phases
    phases = (
        attrs.evolve(config, activity=_plan),
        attrs.evolve(download, activity=_present),
        placement,
    )
    return attrs.evolve(standard, phases=phases)


PLACEMENT_ONLY = _placement_only()
"""The standard machine for a model that every host has: all that takes time is the placement."""


def killed_driver(case: Case) -> int:
    """A process that reserves and removes and is killed at any moment; how often it did. Blocking."""
    assert case.cluster.hosts is not None
    rounds = 0
    with driver(case.name, 4, *case.rng.sample(case.cluster.hosts.node_ids, 2)) as process:
        for _ in range(case.rng.randrange(8)):
            tell(process)
            assert heard(process) == "reserved"
            tell(process)
            assert heard(process) == "removed"
            rounds += 1
        tell(process)
        if case.rng.random() < 0.5:
            assert heard(process) == "reserved"
            tell(process)
        time.sleep(case.moment())
        process.kill()
        process.wait()
    return rounds + 1


INJECTIONS: tuple[Callable[[Case], Awaitable[None]], ...] = (
    cancelled_reserve,
    timed_out_reserve,
    cancelled_remove,
    failing_calls,
    ended_phase,
)
