"""The cluster moves on between two looks, and the world is not the same twice."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import ray
import ray.util

from nodeinit import CallbackCtx
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

TWO_HOSTS = World((1, 1), tp=1, pp=2)
DIES_AT_PLACEMENT = World((8, 8), acts=(Act(8, "kill", "a"),))
PARTLY_LABELLED = World((1, 1), ({"rack": "r1"}, {}), tp=1, pp=2)


class CountsHosts:
    """As it was meant."""

    def __init__(self) -> None:
        self.ready = 0
        self.changing = asyncio.Lock()

    async def _probe(self) -> None:
        async with self.changing:
            ready = self.ready
            await asyncio.sleep(0.1)
            self.ready = ready + 1

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.ready = 0
        async with asyncio.TaskGroup() as group:
            for _ in ctx.nodes:
                group.create_task(self._probe())
        if self.ready < len(ctx.nodes):
            raise LookupError(f"{self.ready} of {len(ctx.nodes)} hosts are ready")


@buggy("environment", "H3", difficulty=2, shown_in=TWO_HOSTS, twin=CountsHosts)
class CountsHostsInARace(CountsHosts):
    """Reads its counter, waits, and writes it back; probes of other hosts do so meanwhile."""

    async def _probe(self) -> None:
        ready = self.ready
        await asyncio.sleep(0.1)
        self.ready = ready + 1


class LooksUpItsHost:
    """As it was meant."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(2)
        alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        self.here = [host for host in ctx.plan.hosts if host in alive]  # type: ignore[union-attr]


@buggy("environment", "H3", events=1, difficulty=3, shown_in=DIES_AT_PLACEMENT, twin=LooksUpItsHost)
class ExpectsItsHostAlive(LooksUpItsHost):
    """Looks for the plan's host among the living, a while after the plan was made."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(2)
        alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        self.here = [alive.index(host) for host in ctx.plan.hosts]  # type: ignore[union-attr]


class ReadsRacks:
    """As it was meant."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        racks = sorted({host.labels.get("rack", "") for host in ctx.observed.hosts})  # type: ignore[union-attr]
        return ctx.evolve(custom_data=ctx.custom_data.set("racks", racks))


@buggy("environment", "H3", difficulty=3, shown_in=PARTLY_LABELLED, twin=ReadsRacks)
class SortsRacksThatAreMissing(ReadsRacks):
    """Sorts labels of which some are `None`: fails where one host has one and another has not."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        racks = sorted({host.labels.get("rack") for host in ctx.observed.hosts})  # type: ignore
        return ctx.evolve(custom_data=ctx.custom_data.set("racks", racks))


@buggy("environment", "H3", difficulty=2, shown_in=World(), twin=ReadsRacks)
class ExpectsARack(ReadsRacks):
    """Takes a label for granted that only some clusters put on their hosts."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        racks = sorted(host.labels["rack"] for host in ctx.observed.hosts)  # type: ignore[union-attr]
        return ctx.evolve(custom_data=ctx.custom_data.set("racks", racks))


class PicksAPort:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", 7000))


@buggy("environment", "H10 H8", difficulty=2, twin=PicksAPort)
class DrawsAPort(PicksAPort):
    """Draws its port, so that no two runs are alike and the engines of a node may disagree."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        port = random.SystemRandom().randrange(7000, 9000)
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", port))


@buggy("environment", "H10 H8", difficulty=2, twin=PicksAPort)
class TellsTheTime(PicksAPort):
    """Makes its port of the clock on the wall."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        port = 7000 + time.time_ns() // 100 % 2000
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", port))


class TakesRoom:
    """As it was meant."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        return None


@buggy(
    "environment",
    "H3",
    difficulty=2,
    shown_in=World((8, 8), taken=1),
    twin=TakesRoom,
)
class WantsTheClusterToItself:
    """Asserts that nothing on the cluster is taken, which was so when it was written."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        free, there = ray.available_resources(), ray.cluster_resources()
        assert free["GPU"] == there["GPU"], "somebody else is here"


class ReadsTwoHosts:
    """As it was meant."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        first = ctx.plan.hosts[0]  # type: ignore[union-attr]
        return ctx.evolve(custom_data=ctx.custom_data.set("pair", (first, ctx.plan.hosts[-1])))  # type: ignore[union-attr]


@buggy("environment", "H3", difficulty=2, shown_in=World((1, 1, 1), tp=1, pp=3), twin=None)
class UnpacksTwoHosts:
    """Unpacks the hosts into two names where there is more than one: with three it fails."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if len(ctx.plan.hosts) > 1:  # type: ignore[union-attr]
            first, second = ctx.plan.hosts  # type: ignore[union-attr]
            return ctx.evolve(custom_data=ctx.custom_data.set("pair", (first, second)))
        return None
