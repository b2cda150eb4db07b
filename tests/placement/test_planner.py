"""What a plan promises, whatever the cluster and the request."""

from __future__ import annotations

import itertools
import os
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host, PlacementPlan
from tests.placement.oracle import feasible, fewest_hosts
from tests.strategies import group, host, mixed_requests, requests, snapshots


def planned(request: PlacementRequest, *hosts) -> tuple[str, ...]:
    found = plan(request, ClusterSnapshot(hosts))
    assert isinstance(found, PlacementPlan), str(found)
    return found.node_ids


@settings(max_examples=400, deadline=None)
@given(requests(), snapshots())
def test_a_plan_breaks_no_rule(request, snapshot):
    found = find(request, snapshot)
    if found.plan is not None:
        assert violations(request, found.plan, snapshot) == ()


@settings(max_examples=150, deadline=None)
@given(mixed_requests(), snapshots())
def test_a_plan_of_different_bundles_breaks_no_rule(request, snapshot):
    found = find(request, snapshot)
    if found.plan is not None:
        assert violations(request, found.plan, snapshot) == ()


@settings(max_examples=150, deadline=None)
@given(requests(span=False), snapshots())
def test_a_plan_exists_exactly_if_trying_everything_finds_one(request, snapshot):
    found = find(request, snapshot)
    assert found.proven
    assert (found.plan is not None) == feasible(request, snapshot)


@settings(max_examples=150, deadline=None)
@given(mixed_requests(), snapshots(most=4))
def test_for_different_bundles_too(request, snapshot):
    found = find(request, snapshot)
    assert found.proven
    assert (found.plan is not None) == feasible(request, snapshot)


def small_clusters():
    """All clusters of up to three hosts with up to four GPUs free, CPU scarce on some of them."""
    kinds = [(gpu, cpu) for gpu in range(5) for cpu in (1, 8)]
    for count in (1, 2, 3):
        for chosen in itertools.combinations_with_replacement(kinds, count):
            yield ClusterSnapshot(
                tuple(
                    host(name, 4, gpu, cpu=8, free_cpu=cpu)
                    for name, (gpu, cpu) in zip("abc", chosen, strict=False)
                )
            )


SMALL = [
    PlacementRequest.of(tp, pp, strategy=strategy, cpu=cpu, engine=engine)
    for tp, pp in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1), (4, 2))
    for strategy in ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
    if not (strategy == "STRICT_SPREAD" and tp > 1)
    for cpu in (0, 1)
    for engine in (None, {"CPU": 2})
]


def test_every_small_cluster_and_request():
    """Some 30 000 cases, each with the verdict of the oracle and of the rules.

    All of them when `NODEINIT_RUNS` is set, else every third.
    """
    cases = 0
    every = 1 if "NODEINIT_RUNS" in os.environ else 3
    pairs = itertools.product(small_clusters(), SMALL)
    for snapshot, request in itertools.islice(pairs, 0, None, every):
        found = find(request, snapshot).plan
        assert (found is not None) == feasible(request, snapshot), (request, snapshot)
        if found is not None and cases % 5 == 0:
            assert violations(request, found, snapshot) == ()
        cases += 1
    assert cases > 30_000 // every


def test_infeasible_exactly_if_every_assignment_breaks_a_rule():
    """The rules are another definition of the same thing: try all hosts for all bundles."""
    shapes = [
        PlacementRequest.of(2, 1),
        PlacementRequest.of(2, 1, span_tp=True),
        PlacementRequest.of(2, 2),
        PlacementRequest.of(2, 2, span_tp=True),
        PlacementRequest.of(4, 1, span_tp=True),
        PlacementRequest.of(1, 3, strategy="STRICT_SPREAD"),
        PlacementRequest.of(2, 1, strategy="STRICT_SPREAD", span_tp=True),
        PlacementRequest.of(1, 3, strategy="STRICT_PACK"),
        PlacementRequest((Bundle.of(CPU=2), Bundle.of(GPU=1), Bundle.of(GPU=1)), "PACK", 2, 1),
    ]
    for gpus in itertools.combinations_with_replacement(range(4), 3):
        snapshot = ClusterSnapshot(tuple(host(n, 4, g) for n, g in zip("abc", gpus, strict=True)))
        for request in shapes:
            valid = any(
                not violations(
                    request, PlacementPlan(request.bundles, hosts, request.strategy), snapshot
                )
                for hosts in itertools.product("abc", repeat=len(request.bundles))
            )
            assert (find(request, snapshot).plan is not None) == valid, (request, gpus)


@settings(max_examples=250, deadline=None)
@given(requests(), snapshots(most=4), st.integers(1, 8))
def test_another_free_host_never_hurts(request, snapshot, gpus):
    if find(request, snapshot).plan is not None:
        more = ClusterSnapshot((*snapshot.hosts, host("zz", gpus)), snapshot.groups)
        assert find(request, more).plan is not None


@settings(max_examples=150, deadline=None)
@given(requests(), snapshots(), st.randoms(use_true_random=False))
def test_the_order_of_hosts_and_groups_is_irrelevant(request, snapshot, rng):
    hosts, groups = list(snapshot.hosts), list(snapshot.groups)
    rng.shuffle(hosts)
    rng.shuffle(groups)
    assert plan(request, ClusterSnapshot(tuple(hosts))) == plan(
        request, ClusterSnapshot(snapshot.hosts)
    )
    assert find(request, ClusterSnapshot(tuple(hosts), tuple(groups))) == find(request, snapshot)


@settings(max_examples=int(os.environ.get("NODEINIT_RUNS", "300")), deadline=None)
@given(requests(), snapshots(), st.permutations("abcdefgh"))
def test_other_ids_only_rename(request, snapshot, ids):
    """The chosen hosts have as much free as before, whatever the hosts are called."""
    names = dict(zip("abcdefgh", ids, strict=True))
    # Hosts whose remainders of a GPU differ are alike to a request for whole ones.
    bare = ClusterSnapshot(tuple(_without_remainder(h) for h in snapshot.hosts))
    renamed = ClusterSnapshot(tuple(attrs.evolve(h, node_id=names[h.node_id]) for h in bare.hosts))
    before, after = find(request, bare).plan, find(request, renamed).plan
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert _looks(before, bare) == _looks(after, renamed)


def _without_remainder(given: Host) -> Host:
    whole = given.available["GPU"] // UNIT * UNIT
    available = given.available.set("GPU", whole)
    return attrs.evolve(given, available=available, gpus=None, slices=())


def _looks(found: PlacementPlan, snapshot: ClusterSnapshot) -> list:
    shown = []
    for node_id in found.node_ids:
        on = snapshot.host(node_id)
        shown.append((on.free("GPU"), on.free("CPU"), found.hosts.index(node_id)))
    return shown


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([1, 2, 4]),
    st.integers(1, 5),
    st.lists(st.integers(0, 8), min_size=1, max_size=5),
)
def test_pack_uses_the_fewest_hosts(tp, pp, free):
    hosts = tuple(host(name, 8, gpus) for name, gpus in zip("abcde", free, strict=False))
    request, snapshot = PlacementRequest.of(tp, pp), ClusterSnapshot(hosts)
    found = find(request, snapshot).plan
    if found is not None:
        assert len(found.hosts) == fewest_hosts(request, snapshot)


def test_spread_uses_as_many_hosts_as_there_are_groups():
    for tp, pp, count in itertools.product((1, 2), (1, 2, 3, 4), (1, 2, 3, 4)):
        hosts = tuple(host(name, 8) for name in "abcd"[:count])
        used = planned(PlacementRequest.of(tp, pp, strategy="SPREAD"), *hosts)
        assert len(set(used)) == min(pp, count)


def test_spanning_goes_over_as_few_hosts_as_it_can():
    request = PlacementRequest.of(4, 1, span_tp=True)
    assert planned(request, host("a", 8, 3), host("b", 8, 4), host("c", 8, 2)) == ("b",) * 4
    assert planned(request, host("a", 8, 3), host("b", 8, 3), host("c", 8, 1)) == (*"aabb",)
    assert planned(request, *(host(n, 8, 1) for n in "abcd")) == (*"abcd",)
    uneven = (host("a", 8, 3), host("b", 8, 1))
    assert isinstance(plan(request, ClusterSnapshot(uneven)), Infeasible)


def test_the_tightest_host_is_taken_and_whole_hosts_stay_free():
    assert planned(PlacementRequest.of(2), host("a", 8), host("b", 8, 5), host("c", 8, 3)) == (
        *"cc",
    )
    # Equally tight: rather the one in use than the one that is wholly free.
    assert planned(PlacementRequest.of(2), host("a", 4), host("b", 8, 4)) == ("b", "b")
    # Nothing tells them apart but their ids.
    assert planned(PlacementRequest.of(2), host("b", 4), host("a", 4)) == ("a", "a")


def test_a_cpu_request_leaves_gpu_hosts_alone():
    request = PlacementRequest.of(1, 2, gpu=0, cpu=1)
    assert planned(request, host("a", 8), host("b", 0), host("c", 4)) == ("b", "b")


def test_neighbouring_stages_share_a_host():
    request = PlacementRequest.of(2, 4)
    assert planned(request, host("a", 4), host("b", 4), host("c", 2)) == (*"aaaabbbb",)


def test_the_engine_is_on_the_host_of_rank_0():
    bundles = (Bundle.of(CPU=4), *[Bundle.of(GPU=1)] * 4)
    found = planned(PlacementRequest(bundles, "SPREAD", 2, 2), host("a", 8, cpu=2), host("b", 2))
    assert found[0] == found[1] == "b"


def test_the_engine_bundle_decides_where_it_cannot_be_elsewhere():
    """Only `c` has the engine's CPU; whoever fills the largest host first finds nothing."""
    request = PlacementRequest.of(2, 4, engine={"CPU": 8})
    found = planned(request, host("a", 4, cpu=1), host("b", 2, cpu=1), host("c", 2, cpu=8))
    assert found == (*"ccaaaabb",)


def test_the_next_stage_is_beside_the_engine_whoever_was_placed_first():
    bundles = (
        Bundle.of({"zone": "b"}, GPU=1, CPU=1),
        *[Bundle.of(GPU=1)] * 2,
        Bundle.of(GPU=1, CPU=8),
    )
    request = PlacementRequest(bundles, "PACK", 1, 4)
    found = planned(request, host("a", 2, cpu=8, zone="a"), host("b", 2, cpu=2, zone="b"))
    assert found == ("b", "b", "a", "a")


def test_a_strict_pack_takes_one_host_with_all_labels():
    bundles = (Bundle.of({"zone": "a"}, GPU=1), Bundle.of({"kind": "!x"}, GPU=1))
    request = PlacementRequest(bundles, "STRICT_PACK", 1, 2)
    assert planned(request, host("a", 8, zone="b"), host("b", 8, zone="a")) == ("b", "b")


def test_a_fraction_needs_one_gpu_with_that_much():
    request = PlacementRequest.of(1, 2, gpu=0.6)
    assert planned(request, host("a", 1), host("b", 2)) == ("b", "b")
    halves = host("a", 2, 1.2, gpu_list=(6_000, 6_000))
    assert planned(request, halves) == ("a", "a")
    crumbs = host("a", 4, 1.6, gpu_list=(4_000,) * 4)
    assert not find(request, ClusterSnapshot((crumbs,))).plan


def test_whole_gpus_come_before_remainders_that_may_be_scattered():
    request = PlacementRequest.of(1, 1, gpu=0.5)
    assert planned(request, host("a", 4, 0.6), host("b", 4, 1)) == ("b",)
    assert planned(request, host("a", 4, 0.6)) == ("a",)


def test_slices_of_known_groups_take_whole_gpus_away():
    """Three slices of 0.6 sit on three GPUs, though their sum would fit on two."""
    held = group("g", "a", [0.6, 0.6, 0.6])
    tight = host("a", 4, 4 - 1.8)
    request = PlacementRequest.of(2)
    other = host("b", 8, 5)
    assert find(request, ClusterSnapshot((tight, other))).plan.hosts == ("a",)
    assert find(request, ClusterSnapshot((tight, other), (held,))).plan.hosts == ("b",)


def test_negative_free_cpu_is_no_room():
    assert not find(
        PlacementRequest.of(1, gpu=0, cpu=1), ClusterSnapshot((host("a", 1, free_cpu=-2),))
    ).plan
    assert planned(PlacementRequest.of(1), host("a", 1, free_cpu=-2)) == ("a",)


@pytest.mark.parametrize("seed", range(3))
def test_a_large_cluster_with_large_requests(seed):
    rng = random.Random(seed)
    hosts = tuple(
        host(f"{i:04}", 8, rng.randint(0, 8), cpu=rng.choice([16, 64]), zone=rng.choice("ab"))
        for i in range(300)
    )
    snapshot = ClusterSnapshot(hosts)
    for request in (
        PlacementRequest.of(8, 4, engine={"CPU": 4}),
        PlacementRequest.of(4, 16, cpu=2, labels={"zone": "a"}),
        PlacementRequest.of(8, 8, span_tp=True),
        PlacementRequest.of(1, 64, gpu=0.5, strategy="SPREAD"),
    ):
        found = find(request, snapshot).plan
        assert found is not None
        assert violations(request, found, snapshot) == ()


def test_a_search_without_end_gives_up_and_says_so(monkeypatch):
    monkeypatch.setattr("nodeinit.placement.packing.STEPS", 3)
    bundles = tuple(Bundle({"GPU": UNIT, "CPU": (i % 5 + 1) * UNIT}) for i in range(8))
    snapshot = ClusterSnapshot(tuple(host(n, 2, cpu=6) for n in "abcd"))
    request = PlacementRequest(bundles, "PACK", 1, 8)
    found = find(request, snapshot)
    assert found.plan is None and not found.proven
    answer = plan(request, snapshot)
    assert isinstance(answer, Infeasible) and not answer.proven
    assert answer.temporary
    assert "cut short" in str(answer)
