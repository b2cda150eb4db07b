"""Waiting for a group to be placed as `nodeinit.ray.reservations` does: until it never will be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodeinit.clusters.base import Displaced
from nodeinit.clusters.gcs import CREATED, INFEASIBLE, PENDING, QUEUED, Gcs
from nodeinit.clusters.sim_parts import SimGroup
from nodeinit.errors import TemporaryError
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan

_STALE = 0.3  # seconds for which what is said to be free may be out of date
_PATIENCE = 15.0  # seconds without progress although all that is asked for is free
_ALMOST = 1e-5  # seconds; a loop may wake whoever waits that much too early


async def placed(
    gcs: Gcs, group: SimGroup, plan: PlacementPlan, view: Callable[[], ClusterSnapshot]
) -> None:
    """Wait until a group is created. Raises `Displaced` when it will not be."""
    now = asyncio.get_running_loop().time
    slow = bool(gcs.like.tick)  # otherwise what is not so at once never will be
    patient = now() + (_PATIENCE if slow else 0.0)
    short_since: float | None = None
    while group.state != CREATED:
        if group.state != PENDING:
            raise Displaced(f"{group.name} is {group.state} while it is being placed")
        if group.reason == INFEASIBLE:
            raise Displaced(f"the hosts of the plan cannot give what {group.name} needs any more")
        until, why = patient, f"Ray has not tried to place {group.name}"
        if group.reason != QUEUED:
            why = f"Ray refused {group.name} although every host has what it needs in sum"
            if _lacks(plan, view()):
                why = f"the hosts of the plan cannot give what {group.name} needs any more"
                short_since = now() if short_since is None else short_since
                until = short_since + (_STALE if slow else 0.0)
            else:
                short_since = None
        if now() >= until - _ALMOST:
            raise TemporaryError(why) if group.reason == QUEUED else Displaced(why)
        await gcs.change(until)


def _lacks(plan: PlacementPlan, snapshot: ClusterSnapshot) -> bool:
    """Whether the hosts of a plan lack anything for it, one resource at a time."""
    needs: dict[tuple[str, str], int] = {}
    for bundle, node_id in zip(plan.bundles, plan.node_ids, strict=True):
        for resource, value in bundle.resources.items():
            needs[node_id, resource] = needs.get((node_id, resource), 0) + value
    hosts = {host.node_id: host for host in snapshot.alive}
    return any(
        node_id not in hosts or hosts[node_id].free(resource) < need
        for (node_id, resource), need in needs.items()
    )
