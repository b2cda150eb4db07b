"""Hooks that wait for what does not come, on some clusters or some attempts."""

from __future__ import annotations

import asyncio
from typing import Any

from nodeinit import CallbackCtx
from nodeinit.clusters.simulated import SimFault
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

ONE_OF_TWO_LOST = World((1, 1, 1), tp=1, pp=2, acts=(Act(20, "kill", "b"),))
LEADER_OF_TWO_LOST = World((1, 1, 1), tp=1, pp=2, acts=(Act(20, "kill", "a"),))
ONE_HOST = World((8,), tp=1, pp=2)
SECOND_PLAN = World((2, 2), acts=(Act(20, "kill", "a"),))
DISPLACED = World((2, 2), faults=(SimFault("reserve", "steal", 0, "a"),))


class WaitsForReports:
    """As it was meant."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        while len(ctx.nodes) < len(ctx.plan.hosts):  # type: ignore[union-attr]
            await asyncio.sleep(1)


@buggy("liveness", "H4", twin=WaitsForReports)
class WaitsForASecondHost(WaitsForReports):
    """Was written for two hosts and waits for the second where there is one."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        while len(ctx.nodes) < 2:
            await asyncio.sleep(1)


@buggy("liveness", "H4", difficulty=2, shown_in=ONE_HOST, twin=WaitsForReports)
class WaitsForAReportPerStage(WaitsForReports):
    """Expects a host for each stage of the pipeline; two stages may share one."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        while len(ctx.nodes) < ctx.llm_config.pipeline_parallel_size:
            await asyncio.sleep(1)


class LocksWhileItWorks:
    """As it was meant."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        async with self.lock:
            await asyncio.sleep(0.1)

    async def on_after_init(self, ctx: CallbackCtx) -> Any: ...


@buggy("liveness", "H4", events=1, difficulty=3, shown_in=DISPLACED, twin=LocksWhileItWorks)
class HoldsItsLockTillReady(LocksWhileItWorks):
    """Takes a lock before the download and lets go when ready; a second plan comes before that."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        await self.lock.acquire()
        await asyncio.sleep(0.1)

    async def on_after_init(self, ctx: CallbackCtx) -> Any:
        if self.lock.locked():
            self.lock.release()


class OneAtATime:
    """As it was meant."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(1)

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        async with self.turn:
            if node_id != ctx.plan.hosts[0]:  # type: ignore[union-attr]
                await asyncio.sleep(0.5)


@buggy("liveness", "H4", events=1, difficulty=3, shown_in=ONE_OF_TWO_LOST, twin=OneAtATime)
class KeepsItsTurn(OneAtATime):
    """Returns early, without giving its turn back, on the engine's host: a second plan waits there."""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        await self.turn.acquire()
        if node_id == ctx.plan.hosts[0]:  # type: ignore[union-attr]
            return
        await asyncio.sleep(0.5)
        self.turn.release()


class WaitsForNobody:
    """As it was meant."""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any: ...


@buggy("liveness", "H4", difficulty=2, shown_in=ONE_HOST, twin=WaitsForNobody)
class WaitsForEveryWorker(WaitsForNobody):
    """Waits at a barrier for a party for each bundle, but a host's hook is called once for all."""

    barrier: asyncio.Barrier | None = None

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        if self.barrier is None:
            self.barrier = asyncio.Barrier(len(ctx.plan.bundles))  # type: ignore[union-attr]
        await self.barrier.wait()


class Settles:
    """As it was meant."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(3)


@buggy("liveness", "H4", difficulty=2, shown_in=World((1, 1, 1), tp=1, pp=3), twin=Settles)
class SettlesForEachHost(Settles):
    """Lets every host settle, one after the other: too long for a deadline where there are many."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        for _ in ctx.plan.hosts[1:]:  # type: ignore[union-attr]
            await asyncio.sleep(40)


@buggy("liveness", "H4", events=1, difficulty=3, shown_in=SECOND_PLAN, twin=WaitsForReports)
class SpinsOnTheOldReports(WaitsForReports):
    """Polls with `sleep(0)` until the reports are of its first plan's hosts, which one is not."""

    hosts: tuple[str, ...] = ()

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.hosts = self.hosts or ctx.plan.hosts  # type: ignore[union-attr]
        while not set(self.hosts) <= set(ctx.nodes):
            await asyncio.sleep(0)


@buggy("liveness", "H4", difficulty=3, twin=None)
class WalksInStepsOfNothing:
    """Goes over the workers in steps of half the hosts, which is no step at all with one host."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        step, at = len(ctx.plan.hosts) // 2, 0  # type: ignore[union-attr]
        while at < ctx.llm_config.pipeline_parallel_size:
            at += step


@buggy("liveness", "H4", events=1, difficulty=3, shown_in=LEADER_OF_TWO_LOST, twin=WaitsForNobody)
class WaitsForTheFirstHostAgain(WaitsForNobody):
    """Waits on every later plan for the host that led the first one, which may be gone."""

    leader = ""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        self.leader = self.leader or ctx.plan.hosts[0]  # type: ignore[union-attr]
        while self.leader not in ctx.plan.hosts:  # type: ignore[union-attr]
            await asyncio.sleep(1)
