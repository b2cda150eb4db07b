"""What VALID means: the rules that a plan, or what Ray made of it, must keep.

The same rules judge a plan, a group that somebody else made, and what Ray really did; a node is
ready only when none of them is broken. They share no code with the planner, so that neither can
hide a fault of the other. Their ids are stable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from nodeinit.placement import predicates
from nodeinit.placement.predicates import Case, Finding
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import (
    Bundle,
    ClusterSnapshot,
    Placement,
    PlacementPlan,
    reported,
)


@attrs.frozen
class Rule:
    """One requirement: `says` what must hold, `source` who demands it or what breaks without it."""

    id: str
    name: str
    says: str
    source: str
    check: Callable[[Case], Iterator[Finding]] = attrs.field(repr=False, eq=False)


@attrs.frozen
class Violation:
    """A rule that is broken, by which bundle and on which host where that can be said."""

    rule: Rule
    message: str
    bundle: int | None = None
    node_id: str | None = None

    def __str__(self) -> str:
        """The rule and the message: `hosts_alive: the host node-3 of bundle 0 is dead`."""
        return f"{self.rule.name}: {self.message}"


def violations(
    request: PlacementRequest,
    placed: PlacementPlan | Placement,
    snapshot: ClusterSnapshot,
    plan: PlacementPlan | None = None,
) -> tuple[Violation, ...]:
    """Every rule that a plan, or a placement, breaks on a cluster; none: it is valid.

    A plan is measured against what is free. A placement holds its share already: it is measured
    against the whole hosts less what other groups hold, and, if there is one, against its `plan`.
    """
    if isinstance(placed, Placement):
        return violations_of_placement(request, placed, snapshot, plan)
    return _judge(Case(request, placed.bundles, placed.node_ids, snapshot, placed))


def violations_of_placement(
    request: PlacementRequest,
    placement: Placement,
    snapshot: ClusterSnapshot,
    plan: PlacementPlan | None,
) -> tuple[Violation, ...]:
    """Every rule that a placement breaks; none of them is what `ready` is guarded by.

    `plan` is `None` for an adopted group, which nobody here planned.
    """
    bundles = tuple(
        Bundle({name: reported(units) for name, units in placed.resources.items()})
        for placed in placement.bundles
    )
    node_ids = tuple(placed.node_id or None for placed in placement.bundles)
    return _judge(Case(request, bundles, node_ids, snapshot, plan, placement))


def _judge(case: Case) -> tuple[Violation, ...]:
    return tuple(Violation(rule, *finding) for rule in RULES for finding in rule.check(case))


_VLLM = "vllm/v1/executor/ray_utils.py"
_RAY = "ray/util/placement_group.py"

RULES: tuple[Rule, ...] = (
    Rule(
        "V1",
        "bundle_count",
        "there are as many bundles as the request has, each with one host",
        f"{_VLLM}: fewer device bundles than workers is an error",
        predicates.bundle_count,
    ),
    Rule(
        "V2",
        "no_bad_amounts",
        "no amount is negative, no number, or more than one GPU",
        f"{_RAY} accepts them; {_VLLM}: a bundle cannot have more than 1 GPU",
        predicates.no_bad_amounts,
    ),
    Rule(
        "V3",
        "amounts_cover_request",
        "every bundle has what the request asks of it, the first one the engine's share too",
        "ray.llm llm_server.py: _merge_replica_actor_and_child_actor_bundles",
        predicates.amounts_cover_request,
    ),
    Rule(
        "V4",
        "hosts_alive",
        "every host is in the cluster and alive",
        "Ray calls a group created for 13 s and more after one of its hosts died",
        predicates.hosts_alive,
    ),
    Rule(
        "V5",
        "accelerator_matches",
        "every host of a device bundle has the accelerator type, by resource or by label",
        "ray.llm accelerators.py: every bundle asks for a little of accelerator_type:X",
        predicates.accelerator_matches,
    ),
    Rule(
        "V6",
        "labels_match",
        "every host satisfies the label selectors of its bundles",
        "ray src/ray/common/scheduling/label_selector.cc",
        predicates.labels_match,
    ),
    Rule(
        "V8",
        "gpus_not_oversubscribed",
        "single GPUs can serve the bundles of each host, whatever their sum",
        "ray#52133, ray#54729: a fraction that fits the sum but no GPU waits for ever",
        predicates.gpus_not_oversubscribed,
    ),
    Rule(
        "V9",
        "other_resources_fit",
        "CPU, memory and custom resources fit each host",
        "Ray reserves them together with the GPUs, or not at all",
        predicates.other_resources_fit,
    ),
    Rule(
        "V10",
        "groups_fit_hosts",
        "a placement and the other groups hold no more than the hosts have",
        "ray#64693: reservations that outlive their group",
        predicates.groups_fit_hosts,
    ),
    Rule(
        "V11",
        "tp_groups_whole",
        "a tensor-parallel group is on one host, or with span_tp equally on several",
        "vllm#6235: tensor-parallel ranks apart, and all-reduce over the network",
        predicates.tp_groups_whole,
    ),
    Rule(
        "V12",
        "ranks_stay_whole",
        "groups lie as well after vLLM has ranked its workers anew, host by host",
        "vllm ray_executor.py: sort_by_driver_then_worker_ip; by node id in its second executor",
        predicates.ranks_stay_whole,
    ),
    Rule(
        "V13",
        "engine_on_first_bundle",
        "the worker of rank 0 is on the host of the first bundle, the engine's",
        f"{_VLLM}: the driver's host must be in the group; ray#63917",
        predicates.engine_on_first_bundle,
    ),
    Rule(
        "V17a",
        "placement_complete",
        "every bundle has a host, and bundles are numbered from 0",
        "Ray reports no host, or an empty id, while a group is pending",
        predicates.placement_complete,
    ),
    Rule(
        "V17b",
        "group_created",
        "the group is CREATED, and the snapshot does not say otherwise",
        "the states of rpc::PlacementGroupTableData; RESCHEDULING holds no promise",
        predicates.group_created,
    ),
    Rule(
        "V17c",
        "placement_matches_plan",
        "every bundle is where the plan put it",
        "the model lies on the hosts of the plan, and on no others",
        predicates.placement_matches_plan,
    ),
    Rule(
        "V18",
        "strategy_honoured",
        "STRICT_PACK uses one host, STRICT_SPREAD one for each bundle; a plan keeps the strategy",
        _RAY,
        predicates.strategy_honoured,
    ),
)
"""All rules, in the order in which violations are reported."""
