"""A real Ray on this machine as a stage for scenarios: hosts come and go, die, and are robbed."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from nodeinit.clusters.base import Cluster
from nodeinit.placement.topology import Bundle, PlacementPlan
from nodeinit.ray.cluster import RayCluster

CPUS = 32  # of each host, as in memory


class RayStage:
    """Answers to `nodeinit.testing.stage.Stage`. A context manager; start and end block.

    Starting a host takes seconds: scenarios with the same hosts should come one after the other.
    Raises `ConfigError` when this process has a Ray already.
    """

    def __init__(self) -> None:
        self._ray = RayCluster.simulated(0)
        self.cluster: Cluster = self._ray
        self._there: dict[str, int] = {}
        self._called: dict[str, str] = {}
        self._held: list[str] = []
        self._stolen: list[str] = []

    def __enter__(self) -> Self:
        """It is there already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every process of it."""
        asyncio.run(self._ray.close())

    async def set(self, scenario: Any) -> None:
        """Make it the hosts of a scenario, all free but for what is taken."""
        await self._give_back(self._held)
        await self._drop_used()
        await asyncio.to_thread(self._host, tuple(scenario.gpus))
        for host, count in zip(self._called, scenario.taken, strict=False):
            if count:
                await self._take(self._held, f"held-{host}", host, Bundle.of(GPU=1), count)

    async def kill(self, host: str) -> None:
        """A host dies, as of a power failure; one that is dead stays so."""
        node_id = self._called[host]
        if self._there.pop(node_id, None) is not None:
            assert self._ray.hosts is not None
            await asyncio.to_thread(self._ray.hosts.kill_host, node_id)

    async def steal(self, host: str) -> None:
        """Somebody takes all GPUs and CPUs that are free on a host."""
        found = (await self._ray.snapshot()).host(self._called[host])
        names = ("GPU", "CPU")
        free = {n: found.free(n) for n in names if found and found.alive and found.free(n) > 0}
        if free:
            name = f"stolen-{host}-{len(self._stolen)}"
            await self._take(self._stolen, name, host, Bundle(free), 1)

    async def clear(self) -> None:
        """What was stolen since `set` is given back."""
        await self._give_back(self._stolen)

    async def _take(self, names: list[str], name: str, host: str, each: Bundle, count: int) -> None:
        names.append(name)
        plan = PlacementPlan((each,) * count, (self._called[host],) * count)
        await self._ray.reserve(plan, name)

    async def _give_back(self, names: list[str]) -> None:
        while names:
            await self._ray.remove(names.pop())

    async def _drop_used(self) -> None:
        """End the hosts that are not free again: Ray leaks, and so may whoever is tried."""
        assert self._ray.hosts is not None
        for host in (await self._ray.snapshot()).alive:
            used = any(host.free(n) < host.total[n] for n in ("GPU", "CPU") if n in host.total)
            if used and self._there.pop(host.node_id, None) is not None:
                await asyncio.to_thread(self._ray.hosts.remove_host, host.node_id)

    def _host(self, gpus: tuple[int, ...]) -> None:
        """Let there be hosts with so many GPUs each, and no others. Blocking."""
        hosts = self._ray.hosts
        assert hosts is not None
        spare, called = dict(self._there), {}
        for name, count in zip("abcdefgh", gpus, strict=False):
            found = next((node_id for node_id, has in spare.items() if has == count), "")
            spare.pop(found, None)
            called[name] = found
        for node_id in spare:
            hosts.remove_host(node_id)
            del self._there[node_id]
        for count in sorted(set(gpus)):
            lacking = [n for n, g in zip(called, gpus, strict=True) if g == count and not called[n]]
            if lacking:
                started = hosts.add_hosts(len(lacking), gpus=count, cpus=CPUS)
                called.update(zip(lacking, started, strict=True))
                self._there.update(dict.fromkeys(started, count))
        self._called = called
