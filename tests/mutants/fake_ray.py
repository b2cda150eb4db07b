"""The part of Ray that callbacks of the corpus use, answered by a simulated cluster.

A group for which there is no room is pending, as it is with Ray, until there is room or somebody
gives up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import attrs
import ray
import ray.util

from nodeinit.clusters.simulated import SimCluster, SimGroup
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, PlacementPlan, amount


@attrs.define(eq=False, kw_only=True)
class OwnGroup(SimGroup):
    """A group that a callback made; also its handle."""

    cluster: SimCluster = attrs.field(repr=False)

    async def ready(self) -> None:
        """Wait until it has its place."""
        await asyncio.sleep(0.2)
        while not self.place():
            await asyncio.sleep(1)

    def place(self) -> bool:
        """Take a place if there is one; whether it has it."""
        if self.state == "PENDING":
            request = PlacementRequest(self.bundles, self.strategy)
            found = plan(request, self.cluster.now())
            if isinstance(found, PlacementPlan):
                self.node_ids, self.state = found.node_ids, "CREATED"
                self.cluster.groups[self.name] = self
        return self.state == "CREATED"


@attrs.define
class FakeRay:
    """Answers as Ray does, by Ray's names, about one cluster."""

    cluster: SimCluster
    made: int = 0

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": host.node_id, "Alive": host.alive, "Labels": dict(host.labels)}
            for host in self.cluster.now().hosts
        ]

    def cluster_resources(self) -> dict[str, float]:
        return self._sum("total")

    def available_resources(self) -> dict[str, float]:
        return self._sum("available")

    def _sum(self, which: str) -> dict[str, float]:
        gpus = sum(getattr(host, which).get("GPU", 0) for host in self.cluster.now().alive)
        return {"GPU": amount(gpus)}

    def placement_group(
        self, bundles: Sequence[Mapping[str, float]], strategy: str = "PACK", name: str = ""
    ) -> OwnGroup:
        self.made += 1
        name = name or f"users-{self.made}"
        asked = tuple(Bundle.from_units(bundle) for bundle in bundles)
        state = "PENDING"
        group = OwnGroup(name, name, strategy, asked, (), False, state, cluster=self.cluster)
        group.place()
        return group

    def remove_placement_group(self, group: SimGroup) -> None:
        if self.cluster.groups.get(group.name) is group:
            del self.cluster.groups[group.name]
        group.state = "REMOVED"

    def get_placement_group(self, name: str) -> SimGroup:
        if name not in self.cluster.groups:
            raise ValueError(f"Failed to look up placement group with name {name!r}.")
        return self.cluster.groups[name]

    def placement_group_table(self) -> dict[str, dict[str, Any]]:
        groups = self.cluster.groups.values()
        return {group.id: {"name": group.name, "state": group.state} for group in groups}


_OF_UTIL = (
    "placement_group",
    "remove_placement_group",
    "get_placement_group",
    "placement_group_table",
)


@contextlib.contextmanager
def answering(cluster: SimCluster) -> Iterator[None]:
    """For a while, Ray's own names answer from this cluster."""
    fake = FakeRay(cluster)
    core = {name: getattr(fake, name) for name in ("nodes", "cluster_resources")}
    core["available_resources"] = fake.available_resources
    util = {name: getattr(fake, name) for name in _OF_UTIL}
    with mock.patch.multiple(ray, **core), mock.patch.multiple(ray.util, **util):
        yield
