"""What Ray does with bundles: where it puts those that nobody pins, and which GPUs they get.

Ray's policy (`src/ray/raylet/scheduling/policy/bundle_scheduling_policy.cc`) takes for the biggest
bundle the host on which the largest fraction stays free, and with PACK fills it with whatever fits,
then the next; it never goes back on a choice. Ties go to the smaller node id here, anywhere there.
"""

from __future__ import annotations

from nodeinit.placement import labels
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host, Pin, PlacementPlan

_Free = dict[str, dict[str, int]]


def choose(plan: PlacementPlan, snapshot: ClusterSnapshot) -> tuple[str, ...] | None:
    """The host of each bundle of a plan, chosen as freely as its pin allows; `None`: no room."""
    hosts = {host.node_id: host for host in snapshot.alive}
    free: _Free = {node_id: dict(host.available) for node_id, host in hosts.items()}
    chosen: dict[int, str] = {}
    todo = sorted(range(len(plan.bundles)), key=lambda i: (-plan.bundles[i].gpu, i))
    if plan.strategy == "STRICT_PACK":
        return _together(plan, hosts, free)
    while todo:
        found = _emptiest(plan, todo[0], hosts, free, _barred(plan, chosen))
        if found is None and plan.strategy == "SPREAD":
            found = _emptiest(plan, todo[0], hosts, free, frozenset())
        if found is None:
            return None
        left = []
        for i in todo:
            first = i == todo[0]
            more = plan.strategy == "PACK" and _fits(plan, i, hosts[found], free)
            if first or more:
                chosen[i] = found
                _take(free[found], plan.bundles[i])
            else:
                left.append(i)
        if plan.strategy == "PACK":
            free.pop(found)
        todo = left
    return tuple(chosen[i] for i in range(len(plan.bundles)))


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


def _together(plan: PlacementPlan, hosts: dict[str, Host], free: _Free) -> tuple[str, ...] | None:
    for node_id in sorted(free, key=lambda node_id: (-free[node_id].get("GPU", 0), node_id)):
        room: _Free = {node_id: dict(free[node_id])}
        for i, bundle in enumerate(plan.bundles):
            if not _fits(plan, i, hosts[node_id], room):
                break
            _take(room[node_id], bundle)
        else:
            return (node_id,) * len(plan.bundles)
    return None


def _barred(plan: PlacementPlan, chosen: dict[int, str]) -> frozenset[str]:
    return frozenset() if plan.strategy == "PACK" else frozenset(chosen.values())


def _emptiest(
    plan: PlacementPlan, i: int, hosts: dict[str, Host], free: _Free, barred: frozenset[str]
) -> str | None:
    able = [
        node_id
        for node_id in free
        if node_id not in barred and _fits(plan, i, hosts[node_id], free)
    ]

    def remaining(node_id: str) -> float:
        needs = plan.bundles[i].resources.items()
        return sum(1 - int(need) / free[node_id][name] for name, need in needs)

    return min(able, key=lambda node_id: (-remaining(node_id), node_id), default=None)


def _fits(plan: PlacementPlan, i: int, host: Host, free: _Free) -> bool:
    bundle = plan.bundles[i]
    if plan.pin is Pin.NODE:
        allowed = host.node_id == plan.node_ids[i]
    else:
        allowed = plan.pin is Pin.NONE or host.node_id in plan.hosts
    room = free.get(host.node_id)
    return (
        allowed
        and room is not None
        and labels.matches(bundle.labels, host.labels)
        and all(room.get(name, 0) >= need for name, need in bundle.resources.items())
    )


def _take(room: dict[str, int], bundle: Bundle) -> None:
    for name, need in bundle.resources.items():
        room[name] -= need
