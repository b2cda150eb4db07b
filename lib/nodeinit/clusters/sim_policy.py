"""What the simulated cluster does with bundles as Ray does: which hosts and which GPUs they get."""

from __future__ import annotations

import functools

import attrs

from nodeinit.clusters.sim_parts import SimGroup
from nodeinit.placement.labels import NODE_ID
from nodeinit.placement.ray_choice import TieRule
from nodeinit.placement.ray_policy import Outcome, RayPolicy, Verdict
from nodeinit.placement.topology import UNIT, ClusterSnapshot, PlacementPlan


def choose(plan: PlacementPlan, snapshot: ClusterSnapshot) -> tuple[str, ...] | None:
    """The host of each bundle of a plan, chosen as freely as its pin allows; `None`: no room.

    Of equally good hosts the one with the smaller node id; Ray takes any.
    """
    pinned = zip(plan.bundles, plan.selectors, strict=True)
    bundles = [attrs.evolve(bundle, labels=selector) for bundle, selector in pinned]
    return _policy(tuple(bundles), plan.strategy, _labelled(snapshot)).run().node_ids or None


def settle(group: SimGroup, snapshot: ClusterSnapshot, tie: TieRule) -> Outcome:
    """One try to find hosts for those bundles of a group that have none; all others keep theirs."""
    lacking = [i for i, node_id in enumerate(group.node_ids) if not node_id]
    bundles = [group.bundles[i] for i in lacking]
    if group.selectors:
        wanted = [group.selectors[i] for i in lacking]
        bundles = [attrs.evolve(b, labels=w) for b, w in zip(bundles, wanted, strict=True)]
    spread = group.strategy == "STRICT_SPREAD"
    used = frozenset(group.node_ids) if spread else frozenset()
    outcome = _policy(tuple(bundles), group.strategy, _labelled(snapshot, used)).run(tie)
    if outcome.verdict is not Verdict.CREATED or len(lacking) == len(group.node_ids):
        return outcome
    node_ids = list(group.node_ids)
    for index, node_id in zip(lacking, outcome.node_ids, strict=True):
        node_ids[index] = node_id
    return Outcome(Verdict.CREATED, tuple(node_ids))


# Thousands of runs ask the same of the same few clusters.
_policy = functools.lru_cache(maxsize=4096)(RayPolicy)


@functools.lru_cache(maxsize=4096)
def _labelled(snapshot: ClusterSnapshot, used: frozenset[str] = frozenset()) -> ClusterSnapshot:
    """The hosts with the label by which they are pinned; without those that a spread has used."""
    hosts = tuple(
        attrs.evolve(host, labels=host.labels.set(NODE_ID, host.node_id))
        for host in snapshot.hosts
        if host.node_id not in used
    )
    return ClusterSnapshot(hosts, snapshot.groups)


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
