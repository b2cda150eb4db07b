"""Several models on one cluster: each is planned on what the ones before it leave.

The largest come first, since they have the fewest hosts to choose from. What is planned already
stands in the snapshot as a live group, so that an explanation can name who is in the way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from nodeinit.placement.demand import demand_of, spans
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.occupancy import occupied
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.shelves import shelves_of
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan, total_of

Named: TypeAlias = tuple[str, PlacementRequest]


def plan_all(
    requests: Sequence[Named], snapshot: ClusterSnapshot
) -> tuple[tuple[str, PlacementPlan | Infeasible], ...]:
    """A plan for each named request, all of them on the cluster at once, in the order given.

    The order given decides nothing else: the same requests get the same plans in any order. Every
    plan breaks no rule on what the others leave. The requests are planned one after the other and
    never reconsidered, so one may be found not to fit although all would fit if laid otherwise.
    """
    found: dict[int, PlacementPlan | Infeasible] = {}
    sizes = {request: _size(request, snapshot) for request in {r for _, r in requests}}
    refused: dict[PlacementRequest, Infeasible] = {}  # on the snapshot as it is now

    def rank(i: int) -> tuple[Any, ...]:
        name, request = requests[i]
        return *sizes[request], _natural(name), json.dumps(request.to_dict(), sort_keys=True)

    for i in sorted(range(len(requests)), key=rank):
        name, request = requests[i]
        answer = refused.get(request) or plan(request, snapshot)
        if isinstance(answer, PlacementPlan):
            snapshot = occupied(snapshot, name, answer)
            refused.clear()
        else:
            refused[request] = answer
        found[i] = answer
    return tuple((name, found[i]) for i, (name, _) in enumerate(requests))


def _size(request: PlacementRequest, snapshot: ClusterSnapshot) -> tuple[int, ...]:
    """What comes first is smaller: the largest, and of equal ones the one with fewer hosts."""
    demand = demand_of(request, spans(request)[0])
    units = demand.units
    sizes: list[int] = []
    for resource in ("GPU", "TPU", "CPU"):
        of_units = [
            total_of((request.bundles[i] for i in unit.bundles), resource) for unit in units
        ]
        sizes += [-max(of_units), -sum(of_units)]
    terms = {term for unit in units for term in unit.terms}
    able = shelves_of(snapshot, demand.view(hopeful=False)).able(terms)
    return *sizes, able


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """Orders `m#2` before `m#10`."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name))
