"""What somebody would get from Ray without nodeinit, in one sentence for people."""

from __future__ import annotations

from itertools import islice

from nodeinit.placement.ray_policy import Outcome, RayPolicy, Verdict
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan, names

_WAYS = 6  # to resolve ties that are looked at; there may be thousands
_STEPS = 48  # that they may take together, one for each bundle
_MOST = 2  # different ends that a sentence bears


def what_ray_does(request: PlacementRequest, snapshot: ClusterSnapshot) -> str:
    """What becomes of a request's bundles if Ray places them by itself, by a model of Ray 2.60.

    Where Ray may take any of several hosts, a few of the ways are looked at, and every end that they
    lead to is told. Costs well under a millisecond on a few hosts.
    """
    ends: dict[str, str] = {}
    policy = RayPolicy(request.bundles, request.strategy, snapshot)
    ways = min(_WAYS, max(2, _STEPS // len(request.bundles)))
    for outcome in islice(policy.outcomes(persist=True), ways):
        sort, end = _end(request, outcome, snapshot)
        ends.setdefault(sort, end)
    told = [*ends.values()][:_MOST]
    if len(told) == 1:
        return f"Ray alone would {told[0]}"
    return (
        f"Ray alone would {', or '.join(told)}: it depends on which of equally good hosts it takes"
    )


def _end(request: PlacementRequest, outcome: Outcome, snapshot: ClusterSnapshot) -> tuple[str, str]:
    """How it ends: the sort of end, and what to say."""
    if outcome.verdict is Verdict.INFEASIBLE:
        return "refused", "refuse it (INFEASIBLE)"
    if outcome.verdict is Verdict.NO_RESOURCES:
        return "pending", "leave it pending for ever (NO_RESOURCES)"
    plan = PlacementPlan(request.bundles, outcome.node_ids, request.strategy)
    broken = violations(request, plan, snapshot)
    if not broken:
        return "created", "create it as well"
    if broken[0].rule.name == "tp_groups_whole" and not request.span_tp:
        return "split", f"create it and split {_first_split(request, plan, snapshot)}"
    return broken[0].rule.name, f"create it, but {broken[0].message}"


def _first_split(request: PlacementRequest, plan: PlacementPlan, snapshot: ClusterSnapshot) -> str:
    called = names(snapshot.hosts)
    for number, group in enumerate(request.tp_groups):
        hosts = dict.fromkeys(called[plan.node_ids[i]] for i in group)
        if len(hosts) > 1:
            *first, last = hosts
            return f"tensor-parallel group {number} over {', '.join(first)} and {last}"
    raise AssertionError("no group is split")
