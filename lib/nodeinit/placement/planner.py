"""Where the bundles of a request should go on a cluster as it is, or why they cannot.

Pure and deterministic: the same request and hosts give the same plan, in whatever order the hosts
come. Ray's own choice is neither (its PACK takes the emptiest host, and splits tensor-parallel
groups), so a plan is not a prediction: every bundle is to be pinned to its host.
"""

from __future__ import annotations

from nodeinit.placement.explain import Infeasible, explain
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan


def plan(request: PlacementRequest, snapshot: ClusterSnapshot) -> PlacementPlan | Infeasible:
    """A plan that breaks no rule of `nodeinit.placement.rules`, or why there is none.

    Every tensor-parallel group lies whole on one host; with `span_tp`, in equal parts on few where
    it cannot. `PACK` takes the fewest hosts and, among these, the tightest; neighbouring stages
    share a host. Where bundles are alike, apart from the engine's, a plan with whole groups is
    found whenever one exists; for lists of different bundles, `Infeasible.proven` says so.
    """
    found = find(request, snapshot)
    return found.plan or explain(request, snapshot, proven=found.proven)
