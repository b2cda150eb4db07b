"""What Ray made of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nodeinit.placement.amounts import amount
from nodeinit.placement.hosts import total_of
from nodeinit.placement.placed import Pin
from nodeinit.placement.predicates.case import Case, Finding
from nodeinit.placement.topology import ClusterSnapshot


def placement_complete(case: Case) -> Iterator[Finding]:
    """Every bundle has a host, and bundles are numbered from 0."""
    for i, node_id in enumerate(case.node_ids):
        if not node_id:
            yield f"bundle {i} has no host", i, None
    if case.placement is not None:
        indexes = [bundle.index for bundle in case.placement.bundles]
        if indexes != list(range(len(indexes))):
            yield f"the bundles are numbered {indexes}", None, None


def group_created(case: Case) -> Iterator[Finding]:
    """Ray calls the group created, and so does the snapshot where it knows the group."""
    if case.placement is None:
        return
    if case.placement.state != "CREATED":
        yield f"the group is {case.placement.state or 'in no known state'}", None, None
    for group in case.snapshot.groups:
        if group.group_id != case.placement.group_id:
            continue
        if group.state != "CREATED":
            yield f"the cluster says that the group is {group.state}", None, None
        if group.assigned != case.node_ids:
            yield "the cluster says that its bundles are on other hosts", None, None


def placement_matches_plan(case: Case) -> Iterator[Finding]:
    """Every bundle is where it was pinned: on its host, on one of the plan's, or anywhere."""
    if case.plan is None or case.placement is None or case.plan.pin is Pin.NONE:
        return
    for i, planned in enumerate(case.plan.node_ids):
        found = case.node_id(i)
        among = case.plan.hosts if case.plan.pin is Pin.HOSTS else (planned,)
        if found not in among:
            wanted = ", ".join(map(case.name, among))
            yield f"bundle {i} is on {case.name(found)}, planned on {wanted}", i, found


def strategy_honoured(case: Case) -> Iterator[Finding]:
    """The strict strategies hold, and a plan has the strategy that is asked for."""
    wanted = case.request.strategy
    if case.placement is None and case.plan is not None and case.plan.strategy != wanted:
        yield f"{wanted} is asked for, the plan says {case.plan.strategy}", None, None
    hosts = Counter(case.node_ids)
    if wanted == "STRICT_PACK" and len(hosts) > 1:
        yield f"STRICT_PACK means one host, {len(hosts)} are used", None, None
    if wanted == "STRICT_SPREAD":
        for node_id, count in hosts.items():
            if count > 1:
                message = (
                    f"STRICT_SPREAD means a host for each bundle, {case.name(node_id)} has {count}"
                )
                yield message, None, node_id


def name_unique(case: Case) -> Iterator[Finding]:
    """No other live group has the name of the placement."""
    if case.placement is None or not case.placement.name:
        return
    for group in case.snapshot.groups:
        if group.name == case.placement.name and group.group_id != case.placement.group_id:
            yield f"another live group is called {group.name!r} ({group.group_id})", None, None


def left_behind(name: str, before: ClusterSnapshot, after: ClusterSnapshot) -> Iterator[Finding]:
    """What a reservation that was given back left: its group, or GPUs that are not free again.

    `before` is the cluster before the reservation; GPUs that groups hold now that were not there
    then are theirs.
    """
    for group in after.groups:
        if group.name == name:
            yield f"the group {name!r} is still {group.state}", None, None
    known = {group.group_id for group in before.groups}
    for was in before.alive:
        host = after.host(was.node_id)
        if host is None or not host.alive:
            continue
        new = (group for group in after.groups if group.group_id not in known)
        theirs = sum(total_of(group.on(was.node_id), "GPU") for group in new)
        missing = was.free("GPU") - theirs - host.free("GPU")
        if missing > 0:
            yield f"{amount(missing)} GPUs of {host.name} are not free again", None, was.node_id
