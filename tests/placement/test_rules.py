"""The rules catch what is wrong with a placement, and nothing else."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings

from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import RULES, violations, violations_of_placement
from nodeinit.placement.search import find
from nodeinit.placement.topology import (
    Bundle,
    ClusterSnapshot,
    Group,
    PlacedBundle,
    Placement,
    PlacementPlan,
)
from tests.strategies import group, host, requests, snapshots

REQUEST = PlacementRequest.of(
    2, 2, cpu=1, engine={"CPU": 1}, accelerator_type="H100", labels={"zone": "a"}
)
SNAPSHOT = ClusterSnapshot(
    (
        host("a", 2, zone="a", kind="H100"),
        host("b", 2, zone="a", kind="H100"),
        host("c", 8, zone="b", kind="H100"),
        host("d", 8, zone="a", kind="A100"),
        host("e", 8, zone="a", kind="H100", alive=False),
        host("f", 8, zone="a", kind="H100"),
    )
)
PLAN = PlacementPlan(REQUEST.bundles, ("a", "a", "b", "b"))


def place(request: PlacementRequest, node_ids) -> Placement:
    bundles = tuple(
        PlacedBundle(i, node_id, bundle.units())
        for i, (bundle, node_id) in enumerate(zip(request.bundles, node_ids, strict=True))
    )
    return Placement("g", "llm", request.strategy, "CREATED", bundles)


def as_group(placement: Placement, request: PlacementRequest, **changes) -> Group:
    made = Group("g", "llm", "CREATED", request.bundles, "PACK", placement.node_ids)
    return attrs.evolve(made, **changes)


PLACED = place(REQUEST, PLAN.node_ids)


def moved(*node_ids) -> Placement:
    return place(REQUEST, node_ids)


def changed(at: int, **changes) -> Placement:
    bundles = list(PLACED.bundles)
    bundles[at] = attrs.evolve(bundles[at], **changes)
    return attrs.evolve(PLACED, bundles=tuple(bundles))


def broken(placement, snapshot=SNAPSHOT, plan=PLAN, request=REQUEST) -> set[str]:
    return {v.rule.name for v in violations_of_placement(request, placement, snapshot, plan)}


def with_groups(*groups: Group) -> ClusterSnapshot:
    return attrs.evolve(SNAPSHOT, groups=groups)


def test_a_good_placement_breaks_none():
    assert broken(PLACED) == set()
    assert broken(PLACED, with_groups(as_group(PLACED, REQUEST))) == set()
    assert violations(REQUEST, PLAN, SNAPSHOT) == ()


@pytest.mark.parametrize("state", ["PENDING", "PREPARED", "RESCHEDULING", "REMOVED", ""])
def test_only_a_created_group_is_good(state):
    assert broken(attrs.evolve(PLACED, state=state)) == {"group_created"}
    seen = as_group(PLACED, REQUEST, state=state)
    assert broken(PLACED, with_groups(seen)) == {"group_created"}


def test_the_cluster_has_the_last_word_on_where_bundles_are():
    seen = as_group(PLACED, REQUEST, assigned=("a", "a", "b", None))
    assert broken(PLACED, with_groups(seen)) == {"group_created"}


@pytest.mark.parametrize(
    ("placement", "rules"),
    [
        (attrs.evolve(PLACED, bundles=PLACED.bundles[:3]), {"bundle_count"}),
        (attrs.evolve(PLACED, bundles=()), {"bundle_count"}),
        (attrs.evolve(PLACED, bundles=PLACED.bundles[::-1]), {"placement_complete"}),
        (changed(3, index=0), {"placement_complete"}),
        (changed(3, node_id=""), {"placement_complete"}),
        (changed(0, node_id=None), {"placement_complete"}),
        (changed(3, node_id="nowhere"), {"hosts_alive"}),
        (moved("e", "e", "b", "b"), {"hosts_alive", "placement_matches_plan"}),
        (moved("f", "f", "b", "b"), {"placement_matches_plan"}),
        (moved("b", "b", "a", "a"), {"placement_matches_plan"}),
        (moved("c", "c", "b", "b"), {"labels_match", "placement_matches_plan"}),
        (moved("d", "d", "b", "b"), {"accelerator_matches", "placement_matches_plan"}),
        (moved("a", "b", "a", "b"), {"tp_groups_whole", "placement_matches_plan"}),
        (moved("a", "a", "b", "f"), {"tp_groups_whole", "placement_matches_plan"}),
        (moved("a", "a", "a", "a"), {"gpus_not_oversubscribed", "placement_matches_plan"}),
        (changed(0, resources={"GPU": 1, "CPU": 1}), {"amounts_cover_request"}),
        (changed(2, resources={"GPU": 0.5, "CPU": 1}), {"amounts_cover_request"}),
        (changed(2, resources={"GPU": 2, "CPU": 1}), {"no_bad_amounts"}),
        (changed(2, resources={"GPU": 1, "CPU": -1}), {"no_bad_amounts"}),
        (changed(2, resources={"GPU": 1, "CPU": 99}), {"other_resources_fit"}),
    ],
)
def test_each_corruption_is_caught(placement, rules):
    assert rules <= broken(placement)


def test_more_than_was_asked_is_fine_in_a_group_of_somebody_else():
    larger = changed(0, resources={"GPU": 1, "CPU": 8})
    assert broken(larger, plan=None) == set()


def test_a_host_that_other_groups_need_too():
    snapshot = with_groups(group("other", "b", [1.0]))
    assert broken(PLACED, snapshot) == {"groups_fit_hosts", "gpus_not_oversubscribed"}
    assert broken(PLACED, with_groups(group("other", "f", [1.0] * 8))) == set()


def test_the_engine_and_rank_0_belong_together():
    request = PlacementRequest([{"CPU": 1}, {"GPU": 1}, {"GPU": 1}], "PACK", 2)
    assert broken(place(request, ("a", "a", "a")), plan=None, request=request) == set()
    assert broken(place(request, ("b", "a", "a")), plan=None, request=request) == {
        "engine_on_first_bundle"
    }


@pytest.mark.parametrize(
    ("strategy", "node_ids", "good"),
    [
        ("STRICT_PACK", "ff", True),
        ("STRICT_PACK", "fa", False),
        ("STRICT_SPREAD", "fa", True),
        ("STRICT_SPREAD", "ff", False),
        ("SPREAD", "ff", True),
        ("PACK", "fa", True),
    ],
)
def test_strict_strategies(strategy, node_ids, good):
    request = PlacementRequest.of(1, 2, strategy=strategy)
    wrong = broken(place(request, node_ids), plan=None, request=request)
    assert wrong == (set() if good else {"strategy_honoured"})


@pytest.mark.parametrize(
    ("node_ids", "wrong"),
    [
        ("aabb", set()),
        ("abab", set()),
        ("ffff", set()),
        ("faaa", {"tp_groups_whole", "ranks_stay_whole"}),
        ("fffb", {"tp_groups_whole", "ranks_stay_whole"}),
    ],
)
def test_a_group_that_may_span_must_lie_equally(node_ids, wrong):
    request = PlacementRequest.of(4, 1, span_tp=True)
    snapshot = ClusterSnapshot(tuple(host(n, 8) for n in "abf"))
    assert broken(place(request, node_ids), snapshot, None, request) == wrong


@pytest.mark.parametrize(
    ("tp", "node_ids"),
    [
        (3, "abcabc"),  # aab|bcc in either order
        (3, "acdbbb"),  # by id abb|bcd; by address, fewer workers first, acd|bbb
        (4, "aabbcdef"),  # by address aacd|efbb; by id as planned
    ],
)
def test_ranks_are_counted_as_the_executor_will(tp, node_ids):
    """Equal parts as planned, but unequal once workers are ranked anew, host by host."""
    request = PlacementRequest.of(tp, 2, span_tp=True)
    snapshot = ClusterSnapshot(tuple(host(n, 8) for n in "abcdef"))
    assert broken(place(request, node_ids), snapshot, None, request) == {"ranks_stay_whole"}


def test_a_plan_is_held_to_what_is_free():
    plan = PlacementPlan(REQUEST.bundles, ("a", "a", "b", "b"))
    taken = ClusterSnapshot(
        (host("a", 2, 1, zone="a", kind="H100"), host("b", 2, zone="a", kind="H100"))
    )
    assert {v.rule.name for v in violations(REQUEST, plan, taken)} == {"gpus_not_oversubscribed"}
    busy = ClusterSnapshot(
        (host("a", 2, zone="a", kind="H100", free_cpu=2), host("b", 2, zone="a", kind="H100"))
    )
    assert [str(v) for v in violations(REQUEST, plan, busy)] == [
        "other_resources_fit: host-a has 2 CPU, 3 are needed"
    ]


def test_a_plan_reserves_exactly_what_is_asked():
    more = attrs.evolve(PLAN, bundles=(Bundle.of(GPU=1, CPU=9), *PLAN.bundles[1:]))
    assert "amounts_cover_request" in {v.rule.name for v in violations(REQUEST, more, SNAPSHOT)}
    loose = attrs.evolve(PLAN, strategy="SPREAD")
    assert {v.rule.name for v in violations(REQUEST, loose, SNAPSHOT)} == {"strategy_honoured"}


def test_fractions_are_counted_on_single_gpus():
    request = PlacementRequest.of(1, 3, gpu=0.6)
    plan = PlacementPlan(request.bundles, ("a",) * 3)
    assert violations(request, plan, ClusterSnapshot((host("a", 3),))) == ()
    # The sum would do, but no third GPU.
    assert violations(request, plan, ClusterSnapshot((host("a", 2),))) != ()
    scattered = host("a", 4, 2.0, gpu_list=(5_000,) * 4)
    assert violations(request, plan, ClusterSnapshot((scattered,))) != ()


@settings(max_examples=400, deadline=None)
@given(requests(), snapshots())
def test_what_was_planned_and_then_reserved_is_good(request, snapshot):
    """The guard of `ready` accepts a reservation that went as planned, on the cluster after it."""
    plan = find(request, snapshot).plan
    if plan is None:
        return
    placement = place(request, plan.node_ids)
    made = as_group(placement, request, bundles=request.bundles)
    held = {}
    for bundle, node_id in zip(request.bundles, plan.node_ids, strict=True):
        held.setdefault(node_id, []).append(bundle)
    after = ClusterSnapshot(
        tuple(_less(h, held.get(h.node_id, [])) for h in snapshot.hosts), (*snapshot.groups, made)
    )
    assert violations_of_placement(request, placement, after, plan) == ()
    for node_id in plan.hosts:
        dead = tuple(attrs.evolve(h, alive=h.alive and h.node_id != node_id) for h in after.hosts)
        broken_now = violations_of_placement(
            request, placement, attrs.evolve(after, hosts=dead), plan
        )
        assert {v.rule.name for v in broken_now} == {"hosts_alive"}


def _less(given_host, bundles):
    left = dict(given_host.available)
    for bundle in bundles:
        for name, value in bundle.resources.items():
            left[name] -= value
    return attrs.evolve(given_host, available=left)


def test_the_rules_are_told_apart():
    for field in ("id", "name", "says"):
        assert len({getattr(rule, field) for rule in RULES}) == len(RULES)
    assert all(rule.source for rule in RULES)
