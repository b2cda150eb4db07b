"""Where scenarios are played: a cluster whose hosts can be chosen, killed and robbed."""

from __future__ import annotations

import asyncio
from typing import Protocol

import attrs

from nodeinit.clusters.base import Cluster
from nodeinit.clusters.simulated import RayLike
from nodeinit.testing.scenario import Scenario


class Stage(Protocol):
    """A cluster on which scenarios are played, one after another. Hosts are called `a`, `b`, …"""

    @property
    def cluster(self) -> Cluster:
        """What a node is given."""
        ...

    async def set(self, scenario: Scenario) -> None:
        """Make it the hosts of the scenario, all free but for what is taken."""
        ...

    async def kill(self, host: str) -> None:
        """A host dies."""
        ...

    async def steal(self, host: str) -> None:
        """Somebody takes all that is free on a host."""
        ...

    async def clear(self) -> None:
        """What was stolen since `set` is given back."""
        ...


class SimStage:
    """The stage in memory."""

    def __init__(self, scenario: Scenario, bandwidth: float) -> None:
        # As a Ray that looks after its hosts several times a second. What it leaks is a matter of
        # microseconds, and six times in a hundred: too seldom to be the same twice.
        quiet = attrs.evolve(scenario, faults=())  # those are made for every stage alike
        self.cluster = quiet.cluster(ray=RayLike(death=0.8, leaks=False), bandwidth=bandwidth)

    async def set(self, scenario: Scenario) -> None:
        """It is made for one."""

    async def kill(self, host: str) -> None:
        """See `Stage`."""
        self.cluster.kill_host(host)

    async def steal(self, host: str) -> None:
        """See `Stage`."""
        self.cluster.steal(host)

    async def clear(self) -> None:
        """See `Stage`."""
        for group in list(self.cluster.groups.values()):
            if group.name.startswith("thief-"):
                self.cluster.gcs.withdraw(group)
        await asyncio.sleep(0.2)
