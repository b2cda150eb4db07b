"""The model of Ray's own choice: what is measured of Ray, and what holds whatever the cluster.

`tests/ray/test_random_requests.py` holds the model against a real Ray.
"""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.ray_alone import what_ray_does
from nodeinit.placement.ray_policy import Outcome, RayPolicy, Verdict
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, PlacementPlan
from tests.strategies import group, host, mixed_requests, requests, snapshots

CREATED, INFEASIBLE, NO_RESOURCES = Verdict.CREATED, Verdict.INFEASIBLE, Verdict.NO_RESOURCES
STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")


def policy(bundles, *hosts, strategy="PACK", groups=()) -> RayPolicy:
    return RayPolicy(bundles, strategy, ClusterSnapshot(hosts, groups))


def alone(bundles, *hosts, **more) -> Outcome:
    return policy(bundles, *hosts, **more).run()


def gpus(count: int, share: float = 1, **more: float) -> list[Bundle]:
    return [Bundle.of(GPU=share, **more)] * count


# -- what is measured of Ray -----------------------------------------------------------------------


def test_shares_that_fit_the_sum_but_no_gpus_wait_for_ever():
    cluster = (host("a", 8), host("b", 8), host("c", 4))
    assert alone(gpus(20, 0.6), *cluster).verdict is NO_RESOURCES
    assert alone(gpus(8, 0.6), host("b", 8)).verdict is CREATED
    assert alone(gpus(9, 0.6), host("b", 8)).verdict is NO_RESOURCES


def test_amounts_are_truncated_so_that_24_times_0_3334_fit_on_8_gpus():
    assert alone(gpus(24, 0.3334), host("a", 8)).verdict is CREATED
    assert alone(gpus(25, 0.3334), host("a", 8)).verdict is NO_RESOURCES


def test_bundles_are_looked_at_one_by_one_when_it_is_said_what_can_never_fit():
    cluster = (host("a", 8), host("b", 8), host("c", 4))
    assert alone(gpus(21), *cluster).verdict is NO_RESOURCES
    assert alone([Bundle.of(GPU=9)], *cluster).verdict is INFEASIBLE
    assert alone([Bundle.of({"zone": "a"}, GPU=1)], *cluster).verdict is INFEASIBLE
    assert alone(gpus(9), *cluster, strategy="STRICT_PACK").verdict is INFEASIBLE
    assert alone(gpus(1), attrs.evolve(cluster[0], alive=False)).verdict is INFEASIBLE
    # It goes by what hosts have, not by what is free.
    assert alone(gpus(8), host("a", 8, 0)).verdict is NO_RESOURCES


def test_pack_takes_the_emptiest_host():
    hosts = (host("a", 8, 4), host("b", 8, 8), host("c", 8, 5))
    assert alone(gpus(4), *hosts).node_ids == (*"bbbb",)
    assert alone(gpus(10), *hosts).node_ids == (*"bbbbbbbbcc",)
    # All that is asked for counts: three quarters and one half are more than all and a sixteenth.
    idle, busy = host("a", 8, 4, cpu=32), host("b", 8, 8, cpu=32, free_cpu=1)
    assert alone(gpus(1, CPU=1), idle, busy).node_ids == ("a",)


def test_pack_splits_a_group_rather_than_use_a_tighter_host():
    """Two hosts have room for all four; Ray fills the one that has most of everything else."""
    hosts = (host("a", 8, 4, cpu=8), host("b", 8, 3, cpu=64))
    assert alone(gpus(4, CPU=4), *hosts).node_ids == (*"bbba",)
    assert find(PlacementRequest.of(4, cpu=1), ClusterSnapshot(hosts)).plan.hosts == ("a",)


def test_pack_never_goes_back_on_a_choice():
    """What may go anywhere takes the only place of what may not: selectors are not sorted by."""
    bundles = [Bundle.of(GPU=1, CPU=2), Bundle.of({"zone": "a"}, GPU=1)]
    hosts = (host("a", 1, cpu=32, zone="a"), host("b", 1, cpu=16, zone="b"))
    for listed in (bundles, bundles[::-1]):
        assert alone(listed, *hosts).verdict is NO_RESOURCES
        assert find(PlacementRequest(listed, "PACK", 1, 2), ClusterSnapshot(hosts)).plan


def test_bundles_with_cpu_gather_so_engines_lie_away_from_their_workers():
    replica = [Bundle.of(GPU=1, CPU=1), *gpus(3)]
    assert alone(replica * 2, host("a", 4), host("b", 4)).node_ids == (*"aaab", *"abbb")


def test_sixteen_equal_bundles_are_taken_in_order_and_more_are_not():
    two, three = [host(name, 8) for name in "ab"], [host(name, 8) for name in "abc"]
    assert alone(gpus(16), *two).node_ids == (*"a" * 8, *"b" * 8)
    # 12, 23, …, 17 on the first host; 16, …, 13, 0, 11, 10, 9 on the second; the rest on the third.
    expected = "b" + "c" * 8 + "b" * 3 + "a" + "b" * 4 + "a" * 7
    assert "".join(alone(gpus(24), *three).node_ids) == expected


def test_spread_takes_new_hosts_and_then_those_in_use():
    hosts = (host("a", 8, 2), host("b", 8, 6), host("c", 8, 4))
    assert alone(gpus(3), *hosts, strategy="SPREAD").node_ids == (*"bca",)
    assert alone(gpus(5), *hosts, strategy="SPREAD").node_ids == (*"bcabb",)
    assert alone(gpus(13), *hosts, strategy="SPREAD").verdict is NO_RESOURCES


def test_spread_looks_at_selectors_on_hosts_in_use_too():
    bundles = [Bundle.of(GPU=1, CPU=1), *[Bundle.of({"zone": "b"}, GPU=1)] * 2]
    hosts = (host("a", 8, zone="a"), host("b", 2, zone="b"))
    assert alone(bundles, *hosts, strategy="SPREAD").node_ids == ("a", "b", "b")


def test_the_dead_are_not_chosen():
    dead = attrs.evolve(host("a", 8), alive=False)
    for strategy in STRATEGIES:
        assert alone(gpus(1), dead, host("b", 2), strategy=strategy).node_ids == ("b",)


def test_strict_spread_counts_hosts_and_the_head_is_one():
    hosts, head = [host(name, 8) for name in "ab"], host("head", 0, cpu=0)
    asked = gpus(3)
    assert alone(asked, *hosts, strategy="STRICT_SPREAD").verdict is INFEASIBLE
    assert alone(asked, *hosts, head, strategy="STRICT_SPREAD").verdict is NO_RESOURCES
    dead = attrs.evolve(head, alive=False)
    assert alone(asked, *hosts, dead, strategy="STRICT_SPREAD").verdict is INFEASIBLE
    assert alone(gpus(2), *hosts, strategy="STRICT_SPREAD").node_ids == ("a", "b")


def test_strict_pack_adds_up_amounts_and_selectors():
    bundles = [Bundle.of({"zone": "a"}, GPU=1), Bundle.of({"kind": "!x"}, GPU=1)]
    hosts = (host("a", 1, zone="a"), host("b", 8, zone="b"), host("c", 4, 2, zone="a"))
    assert alone(bundles, *hosts, strategy="STRICT_PACK").node_ids == ("c", "c")
    assert alone(bundles, *hosts[:2], strategy="STRICT_PACK").verdict is INFEASIBLE
    assert alone(gpus(4), *hosts[::2], strategy="STRICT_PACK").verdict is NO_RESOURCES


def test_hosts_reserve_by_index_and_on_single_gpus():
    """Sums fit either way; a whole GPU is gone when the slice was given it first."""
    one = host("a", 2, 1.5, gpu_list=(UNIT, 5_000))
    assert alone([Bundle.of(GPU=0.5), Bundle.of(GPU=1)], one).verdict is CREATED
    two = host("a", 2, 1.6, gpu_list=(UNIT, 6_000))
    assert alone(gpus(2, 0.8), two).verdict is NO_RESOURCES
    # The tightest GPU for a slice, and of equals the first; whole ones from the first on.
    three = host("a", 3, 2.4, gpu_list=(UNIT, 4_000, UNIT))
    assert alone([*gpus(2, 0.4), *gpus(1)], three).verdict is CREATED
    assert alone([*gpus(1, 0.5), *gpus(1, 0.6), *gpus(1)], three).verdict is NO_RESOURCES
    assert alone([*gpus(1), *gpus(1, 0.5), *gpus(1, 0.4)], three).verdict is CREATED
    assert alone([Bundle.of(GPU=2), Bundle.of(GPU=0.4)], three).verdict is CREATED
    assert alone([Bundle.of(GPU=2.4)], three).verdict is CREATED


def test_where_single_gpus_are_not_known_groups_tell_of_them():
    held = group("g", "a", [0.6, 0.6])
    assert alone(gpus(1), host("a", 3, 1.8)).verdict is CREATED
    assert alone(gpus(2), host("a", 3, 1.8), groups=(held,)).verdict is NO_RESOURCES
    assert alone(gpus(1, 0.5), host("a", 2, 0.8), groups=(held,)).verdict is NO_RESOURCES
    assert alone(gpus(2, 0.4), host("a", 2, 0.8), groups=(held,)).verdict is CREATED


# -- ties ------------------------------------------------------------------------------------------


def test_a_tie_rule_decides_between_equally_good_hosts():
    asked = policy(gpus(2), *(host(name, 2) for name in "abc"))
    met = []

    def last(bundle, tied):
        met.append((bundle, *tied))
        return tied[-1]

    assert asked.run(last).node_ids == ("c", "c")
    assert met == [(0, "a", "b", "c")]
    assert asked.run().node_ids == ("a", "a")


def test_every_way_that_matters_is_tried_once():
    # a and b are alike, c is only as good, d is not.
    hosts = (*(host(name, 4, 2, cpu=4) for name in "ab"), host("c", 4, cpu=2), host("d", 1))
    asked = policy(gpus(3, CPU=1), *hosts)
    assert [outcome.node_ids for outcome in asked.outcomes()] == [(*"aab",), (*"cca",), (*"aac",)]
    assert all(asked.reaches(ids) for ids in ("aab", "bba", "aac", "bbc", "cca", "ccb"))
    assert not any(asked.reaches(ids) for ids in ("aad", "aba", "abc", "caa", "aaa"))


def test_a_group_may_wait_for_the_right_tie():
    """Equal in sum; the first host reserves one bundle, refuses the other, and so reports a change."""
    hosts = (
        host("a", 3, 1.2, gpu_list=(6_000, 4_000, 2_000)),
        host("b", 3, 1.2, gpu_list=(6_000, 6_000, 0)),
    )
    for persist in (False, True):
        outcomes = policy(gpus(2, 0.6), *hosts).outcomes(persist=persist)
        assert [outcome.verdict for outcome in outcomes] == [NO_RESOURCES, CREATED]
    said = what_ray_does(PlacementRequest.of(1, 2, gpu=0.6), ClusterSnapshot(hosts))
    assert "pending for ever" in said and "as well" in said and "depends" in said


# -- one try after the other -----------------------------------------------------------------------


def test_a_host_that_refuses_without_a_word_is_thought_to_have_less_at_each_try():
    crumbs = host("a", 8, 3.2, gpu_list=(4_000,) * 8)
    asked = policy(gpus(1, 0.6), crumbs, host("b", 8, 1))
    assert asked.run() == Outcome(NO_RESOURCES)
    assert asked.persist() == Outcome(CREATED, ("b",))
    assert policy(gpus(1, 0.6), crumbs).persist() == Outcome(NO_RESOURCES)
    assert policy(gpus(2, 0.6), crumbs, host("b", 8, 2)).persist() == Outcome(CREATED, ("b", "b"))


def test_a_host_that_reserves_some_bundles_first_reports_and_is_chosen_again():
    crumbs = host("a", 8, 3.8, gpu_list=(UNIT, *(4_000,) * 7))
    asked = policy(gpus(2, 0.6), crumbs, host("b", 8, 2))
    assert asked.run() == asked.persist() == Outcome(NO_RESOURCES)


def test_a_group_that_is_created_at_once_or_never_is_so_however_often_ray_tries():
    for asked in (
        policy(gpus(4), host("a", 8)),
        policy(gpus(9), host("a", 8)),
        policy([Bundle.of(GPU=9)], host("a", 8)),
        policy(gpus(20, 0.6), host("a", 8), host("b", 8), host("c", 4)),
    ):
        assert asked.persist() == asked.run()


def every_way(asked: RayPolicy) -> set[Outcome]:
    """What all resolutions of ties lead to, alike hosts not told apart from others."""
    found, waiting = set(), [()]
    for prefix in waiting:
        met, taken = [], []

        def tie(bundle, tied, prefix=prefix, met=met, taken=taken):
            met.append(tied)
            taken.append(prefix[len(taken)] if len(taken) < len(prefix) else tied[0])
            return taken[-1]

        found.add(asked.run(tie))
        for i in range(len(prefix), len(met)):
            waiting += [(*taken[:i], other) for other in met[i][1:]]
    return found


SMALL = st.builds(
    PlacementRequest.of,
    st.sampled_from([1, 2]),
    st.integers(1, 2),
    cpu=st.sampled_from([0, 1]),
    engine=st.sampled_from([None, {"CPU": 2}]),
    strategy=st.sampled_from(STRATEGIES[:3]),
)


@settings(max_examples=200, deadline=None)
@given(SMALL, snapshots(most=4))
def test_alike_hosts_stand_for_each_other(request, snapshot):
    asked = RayPolicy(request.bundles, request.strategy, snapshot)
    shown, every = [*asked.outcomes()], every_way(asked)
    assert set(shown) <= every
    assert {outcome.verdict for outcome in shown} == {outcome.verdict for outcome in every}
    for outcome in every:
        if outcome.verdict is CREATED:
            assert asked.reaches(outcome.node_ids)
            assert any(_same_shape(outcome, other, snapshot) for other in shown)
    for node_ids in itertools.product(
        [h.node_id for h in snapshot.alive], repeat=len(request.bundles)
    ):
        assert asked.reaches(node_ids) == (Outcome(CREATED, node_ids) in every)


def _same_shape(one: Outcome, other: Outcome, snapshot: ClusterSnapshot) -> bool:
    """Whether two outcomes differ in nothing but which of alike hosts they use."""
    renamed = dict(zip(one.node_ids, other.node_ids, strict=False))
    return tuple(renamed[node_id] for node_id in one.node_ids) == other.node_ids


# -- whatever the cluster --------------------------------------------------------------------------

ANY = st.one_of(requests(), mixed_requests())
# What Ray knows nothing of, so that its own choice may break it.
OURS = {
    "accelerator_matches", "tp_groups_whole", "ranks_stay_whole", "engine_on_first_bundle",
    "engines_with_ranks", "dp_ranks_whole", "one_domain",
}  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(ANY, snapshots())
def test_what_ray_creates_breaks_only_rules_that_ray_does_not_know(request, snapshot):
    outcome = RayPolicy(request.bundles, request.strategy, snapshot).run()
    if outcome.verdict is CREATED:
        plan = PlacementPlan(request.bundles, outcome.node_ids, request.strategy)
        assert {v.rule.name for v in violations(request, plan, snapshot)} <= OURS


@settings(max_examples=400, deadline=None)
@given(ANY, snapshots())
def test_what_ray_calls_infeasible_is(request, snapshot):
    outcome = RayPolicy(request.bundles, request.strategy, snapshot).run()
    if outcome.verdict is INFEASIBLE:
        assert find(request, snapshot).plan is None
        assert find(request, snapshot.emptied()).plan is None


@settings(max_examples=200, deadline=None)
@given(ANY, snapshots(), st.permutations("abcdefgh"))
def test_names_and_the_order_of_hosts_decide_ties_and_nothing_else(request, snapshot, ids):
    renamed = dict(zip("abcdefgh", ids, strict=True))
    hosts = tuple(attrs.evolve(h, node_id=renamed[h.node_id]) for h in snapshot.hosts)
    groups = tuple(
        attrs.evolve(g, assigned=tuple(renamed[at] for at in g.assigned)) for g in snapshot.groups
    )
    before = RayPolicy(request.bundles, request.strategy, snapshot)
    after = RayPolicy(request.bundles, request.strategy, ClusterSnapshot(hosts, groups))
    for outcome in itertools.islice(before.outcomes(), 5):
        if outcome.verdict is CREATED:
            assert after.reaches([renamed[node_id] for node_id in outcome.node_ids])
        else:
            ties = {o.verdict for o in itertools.islice(after.outcomes(), 500)}
            assert outcome.verdict in ties


# -- one sentence ----------------------------------------------------------------------------------


def said(request: PlacementRequest, *hosts) -> str:
    return what_ray_does(request, ClusterSnapshot(hosts)).removeprefix("Ray alone would ")


def test_the_sentence_says_how_it_ends():
    eight = (host("1", 8), host("2", 8, 3), host("3", 8, 1))
    assert said(PlacementRequest.of(8), *eight) == "create it as well"
    assert said(PlacementRequest.of(8), *eight[1:]) == "leave it pending for ever (NO_RESOURCES)"
    assert said(PlacementRequest.of(1, labels={"zone": "a"}), *eight) == "refuse it (INFEASIBLE)"
    assert said(PlacementRequest.of(4), *eight[1:]) == (
        "create it and split tensor-parallel group 0 over host-2 and host-3"
    )


def test_the_sentence_names_what_else_ray_does_not_know():
    bundles = (Bundle.of(CPU=8), *gpus(1, CPU=1))
    engine = PlacementRequest(bundles, "PACK", 1, 1)
    apart = said(engine, host("1", 8, cpu=4), host("2", 0, cpu=8))
    assert apart.startswith("create it, but the worker of rank 0 is on host-1")
    wrong = said(PlacementRequest.of(1, accelerator_type="H100"), host("1", 8, kind="A100"))
    assert wrong == "create it, but host-1 has no H100, as bundle 0 asks"


def test_the_sentence_says_what_depends_on_a_tie():
    """1/2 + 5/6 would remain free, or 2/3 + 2/3, which is the same but for the last bit."""
    hosts = (host("1", 8, 2, cpu=6), host("2", 8, 3, cpu=3))
    assert said(PlacementRequest.of(3, cpu=1), *hosts) == (
        "create it and split tensor-parallel group 0 over host-1 and host-2, or create it as well: "
        "it depends on which of equally good hosts it takes"
    )


@settings(max_examples=200, deadline=None)
@given(ANY, snapshots())
def test_trying_again_changes_only_what_was_not_created(request, snapshot):
    asked = RayPolicy(request.bundles, request.strategy, snapshot)
    first, last = asked.run(), asked.persist()
    assert first == last or (first.verdict, last.verdict) == (NO_RESOURCES, CREATED)
    if last.verdict is CREATED:
        plan = PlacementPlan(request.bundles, last.node_ids, request.strategy)
        assert {v.rule.name for v in violations(request, plan, snapshot)} <= OURS


@settings(max_examples=200, deadline=None)
@given(ANY, snapshots())
def test_there_is_a_sentence_for_everything(request, snapshot):
    assert what_ray_does(request, snapshot).startswith("Ray alone would ")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_large_group_on_many_hosts(strategy):
    """A sentence looks at a few ways only: there are more than there are atoms."""
    hosts = ClusterSnapshot(tuple(host(f"{i:03}", 8, 1 + i % 8, cpu=i) for i in range(200)))
    request = PlacementRequest.of(1, 64, gpu=1, strategy=strategy)
    assert what_ray_does(request, hosts).startswith("Ray alone would ")
