"""The search for a plan, without a word about why there is none."""

from __future__ import annotations

import attrs

from nodeinit.placement.demand import demand_of, readings, shelve, spans
from nodeinit.placement.packing import GaveUp, Packing
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan


@attrs.frozen
class Found:
    """What a search came to: a plan, or none; `proven` says that then none exists."""

    plan: PlacementPlan | None
    proven: bool = True


def find(request: PlacementRequest, snapshot: ClusterSnapshot) -> Found:
    """Look for a plan: with what is surely free first, and with groups as whole as can be."""
    demand = demand_of(request, spans(request)[0])
    proven = True
    for reading in readings(demand, snapshot):
        for parts in spans(request):
            demand = demand_of(request, parts)
            packing = Packing(
                demand.units,
                shelve(demand, snapshot, reading),
                spread=request.strategy in ("SPREAD", "STRICT_SPREAD"),
            )
            try:
                hosts = packing.run()
            except GaveUp:
                proven = False
                continue
            if hosts is not None:
                node_of = {
                    i: h for u, h in zip(demand.units, hosts, strict=True) for i in u.bundles
                }
                node_ids = tuple(node_of[i] for i in range(len(request.bundles)))
                return Found(PlacementPlan(request.bundles, node_ids, request.strategy))
    return Found(None, proven)
