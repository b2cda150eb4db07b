"""The cluster as it will be when a plan is reserved."""

from __future__ import annotations

from collections import defaultdict

from nodeinit.placement import gpus
from nodeinit.placement.hosts import Bundle, Group
from nodeinit.placement.placed import PlacementPlan
from nodeinit.placement.topology import ClusterSnapshot


def occupied(snapshot: ClusterSnapshot, name: str, plan: PlacementPlan) -> ClusterSnapshot:
    """The cluster as it will be when a plan is reserved, as a group of that name."""
    bundles: dict[str, list[Bundle]] = defaultdict(list)
    for bundle, node_id in zip(plan.bundles, plan.node_ids, strict=True):
        bundles[node_id].append(bundle)
    hosts = ((snapshot.host(node_id), here) for node_id, here in bundles.items())
    changed = [gpus.taken(host, here) for host, here in hosts if host is not None]
    group = Group(name, name, "CREATED", plan.bundles, plan.strategy, plan.node_ids)
    return snapshot.after(changed, (*snapshot.groups, group))
