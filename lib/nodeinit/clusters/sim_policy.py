"""What the simulated cluster does with bundles as Ray does: which hosts and which GPUs they get."""

from __future__ import annotations

import attrs

from nodeinit.placement.labels import NODE_ID
from nodeinit.placement.ray_policy import RayPolicy
from nodeinit.placement.topology import UNIT, ClusterSnapshot, PlacementPlan


def choose(plan: PlacementPlan, snapshot: ClusterSnapshot) -> tuple[str, ...] | None:
    """The host of each bundle of a plan, chosen as freely as its pin allows; `None`: no room.

    Of equally good hosts the one with the smaller node id; Ray takes any.
    """
    hosts = [
        attrs.evolve(host, labels=host.labels.set(NODE_ID, host.node_id)) for host in snapshot.hosts
    ]
    seen = ClusterSnapshot(tuple(hosts), snapshot.groups)
    pinned = zip(plan.bundles, plan.selectors, strict=True)
    bundles = [attrs.evolve(bundle, labels=selector) for bundle, selector in pinned]
    return RayPolicy(bundles, plan.strategy, seen).run().node_ids or None


def deal(snapshot: ClusterSnapshot, group_id: str) -> dict[int, tuple[str, ...]]:
    """The GPUs of each bundle of a group that has any, by bundle.

    A host gives whole GPUs from the lowest number on, and a share of one where the least is left.
    """
    ids: dict[int, tuple[str, ...]] = {}
    for host in snapshot.hosts:
        left = [UNIT] * (int(host.total.get("GPU", 0)) // UNIT)
        for group in snapshot.groups:
            for index, (bundle, at) in enumerate(zip(group.bundles, group.assigned, strict=True)):
                if at != host.node_id or not bundle.gpu:
                    continue
                able = [i for i, free in enumerate(left) if free >= bundle.gpu]
                if able:
                    found = min(able, key=lambda i: (left[i], i))
                    left[found] -= bundle.gpu
                    if group.group_id == group_id:
                        ids[index] = (str(found),)
    return ids
