"""The checks behind the rules: each yields what breaks it, and nothing when it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeAlias

import attrs

from nodeinit.placement import gpus, labels
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import (
    UNIT,
    Bundle,
    ClusterSnapshot,
    Host,
    Placement,
    PlacementPlan,
    amount,
    names,
    total_of,
)

Finding: TypeAlias = tuple[str, int | None, str | None]
"""What breaks a rule: a message, and the bundle and the host where that can be said."""


@attrs.frozen(eq=False)
class Case:
    """What is judged: bundles and their hosts, by index, however they came to be known."""

    request: PlacementRequest
    bundles: tuple[Bundle, ...]
    node_ids: tuple[str | None, ...]
    snapshot: ClusterSnapshot
    plan: PlacementPlan | None = None
    placement: Placement | None = None

    @cached_property
    def hosts(self) -> dict[str, Host]:
        """The hosts of the snapshot by id."""
        return {host.node_id: host for host in self.snapshot.hosts}

    @cached_property
    def by_host(self) -> dict[str, list[int]]:
        """The bundles of each known host that is used, by index."""
        found: dict[str, list[int]] = {}
        for i, node_id in enumerate(self.node_ids):
            if node_id in self.hosts:
                found.setdefault(str(node_id), []).append(i)
        return found

    def node_id(self, bundle: int) -> str | None:
        """The host of a bundle, `None` where it has none."""
        return self.node_ids[bundle] if bundle < len(self.node_ids) else None

    def name(self, node_id: str | None) -> str:
        """What to call a host in a message."""
        return self.names.get(node_id or "", repr(node_id))

    @cached_property
    def names(self) -> dict[str, str]:
        """What to call each host, by id."""
        return names(self.snapshot.hosts)


def bundle_count(case: Case) -> Iterator[Finding]:
    """There are as many bundles as the request has, each with a host."""
    want, have = len(case.request.bundles), len(case.bundles)
    if want != have or have != len(case.node_ids):
        found = f"{have} bundles on {len(case.node_ids)} hosts" if have == want else f"{have}"
        yield f"{want} bundles are asked for, there are {found}", None, None


def no_bad_amounts(case: Case) -> Iterator[Finding]:
    """No amount that Ray would take for another: negative, no number, several GPUs."""
    for i, bundle in enumerate(case.bundles):
        for name, value in bundle.resources.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                yield f"bundle {i} has {name}={value!r} (in steps of 1e-4)", i, None
        if bundle.gpu > UNIT:
            yield f"bundle {i} has {amount(bundle.gpu)} GPUs, a worker runs on one", i, None


def amounts_cover_request(case: Case) -> Iterator[Finding]:
    """Every bundle has what the request asks of it; a group of somebody else may have more."""
    for i, (asked, has) in enumerate(zip(case.request.bundles, case.bundles, strict=False)):
        for name in sorted({*asked.resources, *has.resources}):
            want, given = int(asked.resources.get(name, 0)), int(has.resources.get(name, 0))
            if given < want or (given > want and case.placement is None):
                yield f"bundle {i} asks for {amount(want)} {name}, it has {amount(given)}", i, None
        if case.placement is None and asked.labels != has.labels:
            yield f"bundle {i} has other labels than are asked for", i, None


def hosts_alive(case: Case) -> Iterator[Finding]:
    """Every host is in the snapshot and alive."""
    for i, node_id in enumerate(case.node_ids):
        if node_id is None:
            continue  # said by placement_complete
        host = case.hosts.get(node_id)
        if host is None:
            yield f"the host {node_id} of bundle {i} is not in the cluster", i, node_id
        elif not host.alive:
            yield f"the host {case.name(node_id)} of bundle {i} is dead", i, node_id


def labels_match(case: Case) -> Iterator[Finding]:
    """Every host satisfies its bundles' label selectors."""
    for i, bundle in enumerate(case.request.bundles):
        host = case.hosts.get(case.node_id(i) or "")
        if host is not None and not labels.matches(bundle.labels, host.labels):
            want = labels.describe(bundle.labels)
            yield (
                f"{case.name(host.node_id)} does not have {want}, as bundle {i} asks",
                i,
                host.node_id,
            )


def accelerator_matches(case: Case) -> Iterator[Finding]:
    """Every host of a device bundle has the accelerator, by resource or by label."""
    kind = case.request.accelerator_type
    device = case.request.device
    if kind is None or device is None:
        return
    for i, bundle in enumerate(case.request.bundles):
        host = case.hosts.get(case.node_id(i) or "")
        if host is None or not bundle.resources.get(device):
            continue
        by_resource = host.total.get(f"accelerator_type:{kind}", 0) > 0
        if not by_resource and host.labels.get(labels.ACCELERATOR_TYPE) != kind:
            yield f"{case.name(host.node_id)} has no {kind}, as bundle {i} asks", i, host.node_id


def gpus_not_oversubscribed(case: Case) -> Iterator[Finding]:
    """Single GPUs can serve the bundles of each host: their sum proves nothing."""
    slices = gpus.slices_by_host(case.snapshot.groups)
    for node_id, indexes in case.by_host.items():
        host = case.hosts[node_id]
        wanted = [case.bundles[i].gpu for i in indexes if case.bundles[i].gpu > 0]
        if case.placement is not None:
            whole = (UNIT,) * (int(host.total.get("GPU", 0)) // UNIT)
            fits = _allot(whole, wanted)
        else:
            fits = _allot(gpus.certain(host, slices), wanted) or _allot(gpus.possible(host), wanted)
        if not fits:
            asked = f"{len(wanted)} bundles with {amount(sum(wanted))} GPUs in all"
            free = amount(host.free("GPU")) if case.placement is None else len(whole)
            yield (
                f"{case.name(node_id)} has {free} GPUs, not enough for {asked}",
                indexes[0],
                node_id,
            )


def _allot(free: Iterable[int], wanted: Iterable[int]) -> bool:
    """Whether single GPUs can serve demands in order, each where least is left, as Ray does it."""
    left = sorted(free)
    for need in wanted:
        at = next((i for i, have in enumerate(left) if have >= need), None)
        if at is None:
            return False
        left[at] -= need
        left.sort()
    return True


def other_resources_fit(case: Case) -> Iterator[Finding]:
    """Everything but GPUs fits into what is free, or for a placement into the host."""
    for node_id, indexes in case.by_host.items():
        host = case.hosts[node_id]
        mine = [case.bundles[i] for i in indexes]
        for name in sorted({name for bundle in mine for name in bundle.resources} - {"GPU"}):
            need = total_of(mine, name)
            room = int(host.total.get(name, 0)) if case.placement else host.free(name)
            if need > room:
                message = (
                    f"{case.name(node_id)} has {amount(room)} {name}, {amount(need)} are needed"
                )
                yield message, indexes[0], node_id


def groups_fit_hosts(case: Case) -> Iterator[Finding]:
    """A placement and the other groups together hold no more than the hosts have."""
    if case.placement is None:
        return
    for node_id in case.by_host:
        host, held = case.hosts[node_id], Counter[str]()
        for bundle in _held_on(node_id, case):
            held.update({name: int(value) for name, value in bundle.resources.items()})
        for name, value in sorted(held.items()):
            total = int(host.total.get(name, 0))
            if value > total:
                message = (
                    f"groups on {case.name(node_id)} hold {amount(value)} {name} of {amount(total)}"
                )
                yield message, None, node_id


def _held_on(node_id: str, case: Case) -> Iterator[Bundle]:
    """The bundles of the placement, and of every other group, on one host."""
    assert case.placement is not None
    yield from (case.bundles[i] for i in case.by_host[node_id])
    for group in case.snapshot.groups:
        if group.group_id != case.placement.group_id:
            for bundle, at in zip(group.bundles, group.assigned, strict=False):
                if at == node_id:
                    yield bundle


def tp_groups_whole(case: Case) -> Iterator[Finding]:
    """Every tensor-parallel group is on one host, or equally on several if it may be."""
    for rank, group in enumerate(case.request.tp_groups):
        yield from _lies_well(case, group, f"tensor-parallel group {rank}")


def _lies_well(case: Case, group: Iterable[int], what: str) -> Iterator[Finding]:
    """Whether workers that compute together share one host, or equally few of several."""
    parts = Counter(case.node_id(i) for i in group)
    shown = ", ".join(f"{case.name(host)}: {count}" for host, count in parts.items())
    first = next(iter(group))
    if len(parts) > 1 and not case.request.span_tp:
        yield f"{what} is split over {len(parts)} hosts ({shown})", first, None
    elif len(set(parts.values())) > 1:
        yield f"{what} lies unequally on its hosts ({shown})", first, None


def ranks_stay_whole(case: Case) -> Iterator[Finding]:
    """Groups lie as well when vLLM has ranked the workers anew, in either of its two orders."""
    workers = case.request.workers
    engine = case.node_id(0)
    if engine is None or any(case.node_id(i) not in case.hosts for i in workers):
        return  # said by placement_complete and hosts_alive
    count = Counter(case.node_id(i) for i in workers)

    def by_address(i: int) -> tuple[bool, int, str, str]:
        host = case.hosts[str(case.node_id(i))]
        return host.node_id != engine, count[host.node_id], host.name, host.node_id

    def by_id(i: int) -> tuple[bool, str]:
        return case.node_id(i) != engine, str(case.node_id(i))

    size = case.request.tensor_parallel_size
    for ranked in (sorted(workers, key=by_address), sorted(workers, key=by_id)):
        for start in range(0, len(ranked), size):
            what = f"the group of ranks {start} to {start + size - 1}"
            yield from _lies_well(case, ranked[start : start + size], what)


def engine_on_first_bundle(case: Case) -> Iterator[Finding]:
    """The worker of rank 0 is on the host of the first bundle."""
    first = case.request.workers[0]
    if case.node_id(first) != case.node_id(0):
        where = f"{case.name(case.node_id(first))}, the engine on {case.name(case.node_id(0))}"
        yield f"the worker of rank 0 is on {where}", first, case.node_id(first)


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
    """Every bundle is where the plan put it."""
    if case.plan is None or case.placement is None:
        return
    for i, planned in enumerate(case.plan.node_ids):
        if case.node_id(i) != planned:
            where = f"{case.name(case.node_id(i))}, planned on {case.name(planned)}"
            yield f"bundle {i} is on {where}", i, case.node_id(i)


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
