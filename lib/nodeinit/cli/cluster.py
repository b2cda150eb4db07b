"""Which cluster a run is for, and how to get to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from nodeinit.clusters.base import Cluster


GPUS_PER_HOST = 8


@attrs.frozen
class Where:
    """The cluster of a run: the one at `address`, else `hosts` simulated ones, else a local Ray.

    Simulated hosts are real Ray nodes on this machine that claim to have GPUs.
    """

    address: str | None = None
    hosts: int | None = None
    gpus_per_host: int = GPUS_PER_HOST

    def __str__(self) -> str:
        if self.address is not None:
            return f"the Ray at {self.address}"
        if self.hosts is not None:
            hosts = "one simulated host" if self.hosts == 1 else f"{self.hosts} simulated hosts"
            return f"a Ray of {hosts} with {self.gpus_per_host} GPUs each"
        return "a Ray here"


def connect(where: Where) -> Cluster:
    """Connect to a cluster, or start one. Blocking."""
    from nodeinit.ray.cluster import RayCluster

    if where.hosts is not None:
        return RayCluster.simulated(hosts=where.hosts, gpus_per_host=where.gpus_per_host)
    return RayCluster.connect(where.address)
