"""The search for a plan, without a word about why there is none."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from nodeinit.placement.demand import Demand, demand_of, spans
from nodeinit.placement.domains import TPU_SLICE, domains
from nodeinit.placement.occupancy import occupied
from nodeinit.placement.packing import GaveUp, Packing
from nodeinit.placement.placed import PlacementPlan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.shelves import View, shelves_of
from nodeinit.placement.slices import in_order, in_slice
from nodeinit.placement.topology import ClusterSnapshot


@attrs.frozen
class Found:
    """What a search came to: a plan, or none; `proven` says that then none exists."""

    plan: PlacementPlan | None
    proven: bool = True


def find(request: PlacementRequest, snapshot: ClusterSnapshot) -> Found:
    """Look for a plan: with what is surely free first, and with groups as whole as can be."""
    found = _find(request, snapshot)
    if found.plan is None or not _addresses_clash(found.plan, snapshot):
        return found
    # An engine takes hosts with the same address for one: so only one of them may be used.
    apart = _find(request, _one_of_each_address(snapshot))
    return apart if apart.plan is not None else Found(None, proven=False)


def _find(request: PlacementRequest, snapshot: ClusterSnapshot) -> Found:
    proven = True
    for domain in _domains(request, snapshot):
        found = _find_in(request, snapshot, domain)
        if found.plan is not None:
            return found
        proven = proven and found.proven
    return Found(None, proven)


def _domains(
    request: PlacementRequest, snapshot: ClusterSnapshot
) -> Iterator[tuple[str, str] | None]:
    """Where to look, the fullest domain first; `None` is everywhere."""
    if request.topology is None:
        yield None
        return
    for value in domains(snapshot, request.topology, request.device or "CPU"):
        yield request.topology, value


def _find_in(
    request: PlacementRequest, snapshot: ClusterSnapshot, domain: tuple[str, str] | None
) -> Found:
    if domain is not None and request.topology == TPU_SLICE:
        hosts = in_slice(request, snapshot, domain)
        if hosts is not None:
            return _plan(request, hosts)
    if request.data_parallel_size > 1 and request.strategy == "PACK":
        tight = _rank_by_rank(request, snapshot, domain)
        if tight is not None:
            return _plan(request, tight)
    proven = True
    for demand, view in _looks(request, snapshot, domain):
        try:
            hosts = _packed(request, demand, view, snapshot)
        except GaveUp:
            proven = False
            continue
        if hosts is not None:
            placed = zip(demand.units, hosts, strict=True)
            node_of = {i: host for unit, host in placed for i in unit.bundles}
            node_ids = tuple(node_of[i] for i in range(len(request.bundles)))
            if request.topology == TPU_SLICE and not in_order(node_ids, snapshot):
                proven = False
                continue
            return _plan(request, node_ids)
    return Found(None, proven and not _other_splits(request, snapshot, domain))


def _packed(
    request: PlacementRequest, demand: Demand, view: View, snapshot: ClusterSnapshot
) -> tuple[str, ...] | None:
    """The host of each unit; `None`: there is no way. Raises `GaveUp`."""
    spread = request.strategy in ("SPREAD", "STRICT_SPREAD")
    return Packing(demand.units, shelves_of(snapshot, view), spread=spread).run()


def _other_splits(
    request: PlacementRequest, snapshot: ClusterSnapshot, domain: tuple[str, str] | None
) -> bool:
    """Whether a way may exist that is not looked for: groups split differently from each other."""
    size = request.tensor_parallel_size
    if not request.span_tp or size < 3 or request.strategy == "STRICT_SPREAD":
        return False  # parts of one worker, or two equal halves, leave no other way
    demand = demand_of(request, size, domain, anyhow=True)
    view = demand.view(hopeful=snapshot.uncertain)
    try:
        return _packed(request, demand, view, snapshot) is not None
    except GaveUp:
        return True


def _plan(request: PlacementRequest, node_ids: tuple[str, ...]) -> Found:
    return Found(PlacementPlan(request.bundles, node_ids, request.strategy, request.pin))


def _looks(
    request: PlacementRequest, snapshot: ClusterSnapshot, domain: tuple[str, str] | None
) -> Iterator[tuple[Demand, View]]:
    """What to look for, and how to look at the cluster for it, the best first.

    With what is certain to be free before what may be, and with groups as whole as they can be.
    """
    for hopeful in (False, True)[: 1 + snapshot.uncertain]:
        for parts in spans(request):
            demand = demand_of(request, parts, domain)
            yield demand, demand.view(hopeful=hopeful)


def _rank_by_rank(
    request: PlacementRequest, snapshot: ClusterSnapshot, domain: tuple[str, str] | None
) -> tuple[str, ...] | None:
    """Data-parallel ranks one after the other, each as tight as can be on what is left."""
    node_ids: tuple[str, ...] = ()
    for number, rank in enumerate(request.rank_requests):
        found = _find_in(rank, snapshot, domain).plan
        if found is None:
            return None
        node_ids += found.node_ids
        snapshot = occupied(snapshot, f"rank {number}", found)
    return node_ids


def _addresses_clash(plan: PlacementPlan, snapshot: ClusterSnapshot) -> bool:
    hosts = [snapshot.host(node_id) for node_id in plan.hosts]
    known = [host.address for host in hosts if host is not None and host.address]
    return len(set(known)) < len(known)


def _one_of_each_address(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    best = {}
    for host in sorted(snapshot.alive, key=lambda host: host.free("GPU")):
        best[host.address or host.node_id] = host
    return ClusterSnapshot(tuple(best.values()), snapshot.groups)
