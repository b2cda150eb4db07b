"""What VALID means: the rules that a plan, or what Ray made of it, must keep.

The same rules judge a plan, a group that somebody else made, and what Ray really did; a node is
ready only when none of them is broken. They share no code with the planner, so that neither can
hide a fault of the other. Their ids are stable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import attrs

from nodeinit.frozen import FrozenMap
from nodeinit.placement.amounts import reported
from nodeinit.placement.hosts import Bundle
from nodeinit.placement.placed import Placement, PlacementPlan
from nodeinit.placement.predicates import capacity, outcome, places, ranks, shape
from nodeinit.placement.predicates.case import Case, Finding
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import ClusterSnapshot


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
    model_on: Iterable[str] | None = None,
) -> tuple[Violation, ...]:
    """Every rule that a plan, or a placement, breaks on a cluster; none: it is valid.

    A plan is measured against what is free. A placement holds its share already: it is measured
    against the whole hosts less what other groups hold, and, if there is one, against its `plan`.
    `model_on` are the hosts that have the model, where that is to be judged.
    """
    if isinstance(placed, Placement):
        return violations_of_placement(request, placed, snapshot, plan, model_on)
    there = None if model_on is None else frozenset(model_on)
    node_ids = placed.node_ids
    return _judge(Case(request, placed.bundles, node_ids, snapshot, placed, model_on=there))


def violations_of_placement(
    request: PlacementRequest,
    placement: Placement,
    snapshot: ClusterSnapshot,
    plan: PlacementPlan | None,
    model_on: Iterable[str] | None = None,
) -> tuple[Violation, ...]:
    """Every rule that a placement breaks; none of them is what `ready` is guarded by.

    `plan` is `None` for an adopted group, which nobody here planned.
    """
    bundles = tuple(_bundle(placed.resources) for placed in placement.bundles)
    node_ids = tuple(placed.node_id or None for placed in placement.bundles)
    there = None if model_on is None else frozenset(model_on)
    return _judge(Case(request, bundles, node_ids, snapshot, plan, placement, there))


@functools.lru_cache(maxsize=1024)  # the bundles of a group are alike
def _bundle(reserved: FrozenMap) -> Bundle:
    """A bundle of the amounts that Ray reports."""
    return Bundle({name: reported(units) for name, units in reserved.items()})


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
        shape.bundle_count,
    ),
    Rule(
        "V2",
        "no_bad_amounts",
        "no amount is negative, no number, or more than one GPU",
        f"{_RAY} accepts them; {_VLLM}: a bundle cannot have more than 1 GPU",
        shape.no_bad_amounts,
    ),
    Rule(
        "V3",
        "amounts_cover_request",
        "every bundle has what the request asks of it, the first one the engine's share too",
        "ray.llm llm_server.py: _merge_replica_actor_and_child_actor_bundles",
        shape.amounts_cover_request,
    ),
    Rule(
        "V4",
        "hosts_alive",
        "every host is in the cluster and alive",
        "Ray calls a group created for 13 s and more after one of its hosts died",
        places.hosts_alive,
    ),
    Rule(
        "V5",
        "accelerator_matches",
        "every host of a device bundle has the accelerator type, by resource or by label",
        "ray.llm accelerators.py: every bundle asks for a little of accelerator_type:X",
        places.accelerator_matches,
    ),
    Rule(
        "V6",
        "labels_match",
        "every host satisfies the label selectors of its bundles",
        "ray src/ray/common/scheduling/label_selector.cc",
        places.labels_match,
    ),
    Rule(
        "V7",
        "model_present",
        "every host of a bundle has the model",
        "a worker without its files fails, or fetches them while it holds a GPU",
        places.model_present,
    ),
    Rule(
        "V8",
        "gpus_not_oversubscribed",
        "single GPUs can serve the bundles of each host, whatever their sum",
        "ray#52133, ray#54729: a fraction that fits the sum but no GPU waits for ever",
        capacity.gpus_not_oversubscribed,
    ),
    Rule(
        "V9",
        "other_resources_fit",
        "CPU, memory and custom resources fit each host",
        "Ray reserves them together with the GPUs, or not at all",
        capacity.other_resources_fit,
    ),
    Rule(
        "V10",
        "groups_fit_hosts",
        "a placement and the other groups hold no more than the hosts have",
        "ray#64693: reservations that outlive their group",
        capacity.groups_fit_hosts,
    ),
    Rule(
        "V11",
        "tp_groups_whole",
        "a tensor-parallel group is on one host, or with span_tp equally on several",
        "vllm#6235: tensor-parallel ranks apart, and all-reduce over the network",
        ranks.tp_groups_whole,
    ),
    Rule(
        "V12",
        "ranks_stay_whole",
        "groups lie as well after vLLM has ranked its workers anew, host by host",
        "vllm ray_executor.py: sort_by_driver_then_worker_ip; by node id in its second executor",
        ranks.ranks_stay_whole,
    ),
    Rule(
        "V13",
        "engine_on_first_bundle",
        "the worker of rank 0 is on the host of the first bundle, the engine's",
        f"{_VLLM}: the driver's host must be in the group; ray#63917",
        ranks.engine_on_first_bundle,
    ),
    Rule(
        "V14",
        "engines_with_ranks",
        "so it is for the engine of every further data-parallel rank",
        "ray.llm 2.60 dp_server.py: _compute_bundle_indices parts them; ray#63803",
        ranks.engines_with_ranks,
    ),
    Rule(
        "V15",
        "dp_ranks_whole",
        "without a pipeline, a data-parallel rank is on one host, its control bundle too",
        "vllm/v1/engine/utils.py: create_dp_placement_groups; vllm#39167",
        ranks.dp_ranks_whole,
    ),
    Rule(
        "V16",
        "addresses_differ",
        "the hosts of one engine have different addresses",
        f"{_VLLM}: every host should have a unique IP address; ray#63917",
        places.addresses_differ,
    ),
    Rule(
        "V17a",
        "placement_complete",
        "every bundle has a host, and bundles are numbered from 0",
        "Ray reports no host, or an empty id, while a group is pending",
        outcome.placement_complete,
    ),
    Rule(
        "V17b",
        "group_created",
        "the group is CREATED, and the snapshot does not say otherwise",
        "the states of rpc::PlacementGroupTableData; RESCHEDULING holds no promise",
        outcome.group_created,
    ),
    Rule(
        "V17c",
        "placement_matches_plan",
        "every bundle is where the plan pinned it",
        "the model lies on the hosts of the plan, and on no others",
        outcome.placement_matches_plan,
    ),
    Rule(
        "V18",
        "strategy_honoured",
        "STRICT_PACK uses one host, STRICT_SPREAD one for each bundle; a plan keeps the strategy",
        _RAY,
        outcome.strategy_honoured,
    ),
    Rule(
        "V19",
        "gpu_ids_distinct",
        "every GPU bundle sees one GPU, and no GPU is given away twice",
        "ray#52133, ray#52915: two actors with 1.25 GPUs in all on one device",
        capacity.gpu_ids_distinct,
    ),
    Rule(
        "V20",
        "name_unique",
        "no other live group has the placement's name",
        "what is given back is found by its name",
        outcome.name_unique,
    ),
    Rule(
        "V22",
        "one_domain",
        "with a topology label, all hosts have the same value of it",
        f"{_RAY}: topology_strategy; tensor-parallel ranks of two NVLink domains",
        ranks.one_domain,
    ),
    Rule(
        "V23",
        "slice_in_order",
        "the hosts of a TPU slice are used in the order of their worker ids",
        "ray#64578: unsorted worker ids break the order of ranks",
        ranks.slice_in_order,
    ),
)
"""All rules of a plan or a placement, in the order in which violations are reported."""

GIVEN_BACK = Rule(
    "V21",
    "given_back",
    "of a reservation that was given back no group is live, and its GPUs are free again",
    "ray#64693; ray-llm#51: GPUs that nobody holds and nobody can have",
    lambda _case: iter(()),
)
"""The rule of what is left: it judges two moments of a cluster, see `violations_of_release`."""


def violations_of_release(
    name: str, before: ClusterSnapshot, after: ClusterSnapshot
) -> tuple[Violation, ...]:
    """What a reservation called `name` left behind, given the cluster before it and after."""
    found = outcome.left_behind(name, before, after)
    return tuple(Violation(GIVEN_BACK, *finding) for finding in found)
