"""Data-parallel gangs, topology domains and TPU slices: what is planned, and the rules for it."""

from __future__ import annotations

import itertools

import attrs
import pytest

from nodeinit.errors import ConfigError
from nodeinit.placement.domains import TPU_SLICE, TPU_WORKER
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.placed import PlacedBundle, Placement
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import RULES, violations, violations_of_release
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Pin, PlacementPlan
from tests.strategies import group, host


def planned(request: PlacementRequest, *hosts) -> tuple[str, ...]:
    found = plan(request, ClusterSnapshot(hosts))
    assert isinstance(found, PlacementPlan), str(found)
    assert violations(request, found, ClusterSnapshot(hosts)) == ()
    return found.node_ids


def broken(request, node_ids, *hosts, **more) -> set[str]:
    laid = PlacementPlan(request.bundles, tuple(node_ids), request.strategy)
    return {v.rule.name for v in violations(request, laid, ClusterSnapshot(hosts), **more)}


def placement(request, node_ids, gpu_ids=None, name="llm") -> Placement:
    ids = gpu_ids or [None] * len(node_ids)
    bundles = tuple(
        PlacedBundle(i, node_id, bundle.units(), seen)
        for i, (bundle, node_id, seen) in enumerate(
            zip(request.bundles, node_ids, ids, strict=True)
        )
    )
    return Placement("g", name, request.strategy, "CREATED", bundles)


# -- data-parallel gangs ---------------------------------------------------------------------------


def test_every_rank_is_as_tight_as_one_alone():
    """Units of all ranks in one row would put the second rank on both hosts."""
    request = PlacementRequest.of(2, 3, data_parallel_size=2)
    assert planned(request, host("a", 8), host("b", 8)) == (*"aaaaaa", *"bbbbbb")


def test_every_engine_is_with_its_own_rank():
    rank = [{"CPU": 2}, {"GPU": 1}, {"GPU": 1}]
    request = PlacementRequest(rank * 2, "PACK", 2, data_parallel_size=2)
    assert request.engines == ((0, 1), (3, 4))
    assert planned(request, host("a", 2, cpu=2), host("b", 2, cpu=2)) == (*"aaa", *"bbb")
    a, b = host("a", 8), host("b", 8)
    assert broken(request, "aaaabb", a, b) == {"engines_with_ranks", "dp_ranks_whole"}
    assert broken(request, "baabbb", a, b) == {"engine_on_first_bundle", "dp_ranks_whole"}


def test_the_engine_of_each_rank_gets_its_share():
    request = PlacementRequest.of(2, data_parallel_size=2, engine={"CPU": 1})
    assert [bundle.units() for bundle in request.bundles] == [
        {"GPU": 1, "CPU": 1},
        {"GPU": 1},
    ] * 2


def test_ranks_that_fit_only_if_all_are_looked_at_together_are_placed():
    """The first rank must leave the host with the CPU to the engine of the second."""
    request = PlacementRequest(
        ({"GPU": 1, "CPU": 1}, {"GPU": 1, "CPU": 6}), "PACK", 1, data_parallel_size=2
    )
    assert planned(request, host("a", 1, cpu=8), host("b", 2, cpu=2)) == ("b", "a")


def test_each_rank_is_ranked_anew_by_itself():
    request = PlacementRequest.of(2, 2, data_parallel_size=2)
    hosts = [host(name, 8) for name in "ab"]
    assert broken(request, "aabbaabb", *hosts) == set()
    # Together host a has four workers; by themselves the ranks are cut in the middle of a group.
    assert broken(request, "abbbaaba", *hosts) >= {"tp_groups_whole", "ranks_stay_whole"}


def test_bundles_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ConfigError, match=r"5: cannot be shared out among data_parallel_size=2"):
        PlacementRequest([{"GPU": 1}] * 5, "PACK", 2, data_parallel_size=2)
    with pytest.raises(ConfigError, match="too few for the 4 workers"):
        PlacementRequest([{"GPU": 1}, {"GPU": 1}], "PACK", 2, data_parallel_size=2)


def test_a_gang_of_the_size_of_the_cluster():
    request = PlacementRequest.of(4, 1, data_parallel_size=16, engine={"CPU": 1})
    node_ids = planned(request, *(host(f"h{i}", 8) for i in range(8)))
    per_rank = [node_ids[i : i + 4] for i in range(0, 64, 4)]
    assert all(len(set(rank)) == 1 for rank in per_rank)
    assert len(set(node_ids)) == 8


def test_a_smaller_gang_is_a_way_out():
    found = plan(PlacementRequest.of(4, data_parallel_size=7), ClusterSnapshot((host("a", 8),) * 1))
    assert isinstance(found, Infeasible)
    assert "with data_parallel_size=2" in found.alternatives


# -- topology --------------------------------------------------------------------------------------


def test_all_hosts_are_in_one_domain_the_fullest_that_fits():
    request = PlacementRequest.of(4, 2, topology="zone")
    hosts = (
        host("a", 8, zone="x"), host("b", 8, zone="x"), host("c", 4, zone="y"), host("d", 8, 3),
    )  # fmt: skip
    assert planned(request, *hosts, host("e", 4, zone="y")) == (*"cccc", *"eeee")
    assert planned(request, *hosts) == ("a",) * 8
    assert broken(request, "aaaacccc", *hosts) == {"one_domain"}
    assert broken(request, "aaaadddd", *hosts[:3], host("d", 8)) == {"one_domain"}


def test_a_domain_that_does_not_fit_says_what_would():
    request = PlacementRequest.of(8, 2, topology="zone")
    found = plan(request, ClusterSnapshot((host("a", 8, zone="x"), host("b", 8, zone="y"))))
    assert isinstance(found, Infeasible)
    assert found.reason == (
        "needs 2 times 8 GPUs on hosts with the same zone (tensor_parallel_size=8); "
        "there is room for 1 (x: 1, y: 1)"
    )
    assert found.binding == "topology"
    assert "without topology=zone" in found.alternatives


def test_hosts_without_the_label_are_named():
    found = plan(PlacementRequest.of(4, topology="rack"), ClusterSnapshot((host("a", 8),)))
    assert isinstance(found, Infeasible)
    assert found.reason == "needs hosts with the label rack; no host has it"
    assert found.constraints[0].hosts == ("host-a",)


# -- TPU slices ------------------------------------------------------------------------------------


def tpu_host(name: str, slice_: str, worker: int, chips: int = 4):
    made = host(name, 0, TPU=chips)
    return attrs.evolve(made, labels={TPU_SLICE: slice_, TPU_WORKER: str(worker)})


SLICE = PlacementRequest([{"TPU": 4}] * 3, "PACK", 12, topology=TPU_SLICE, span_tp=True)


def test_a_slice_is_taken_whole_and_in_its_own_order():
    hosts = [tpu_host("a", "s", 2), tpu_host("b", "s", 0), tpu_host("c", "s", 1)]
    assert planned(SLICE, *hosts, tpu_host("x", "t", 0)) == ("b", "c", "a")
    assert broken(SLICE, "abc", *hosts) == {"slice_in_order"}


def test_hosts_of_two_slices_are_no_slice():
    hosts = [tpu_host("a", "s", 0), tpu_host("b", "s", 1), tpu_host("c", "t", 0)]
    assert isinstance(plan(SLICE, ClusterSnapshot(hosts)), Infeasible)


def test_chips_that_are_taken_are_not_there():
    hosts = [tpu_host(n, "s", i) for i, n in enumerate("abc")]
    taken = attrs.evolve(hosts[1], available=hosts[1].available.set("TPU", 10_000))
    assert isinstance(plan(SLICE, ClusterSnapshot((hosts[0], taken, hosts[2]))), Infeasible)


# -- splits that are not looked for ----------------------------------------------------------------


def test_groups_that_could_be_split_otherwise_are_not_said_to_be_impossible():
    """One group on three hosts, the other on one: valid, but not a way that is looked for."""
    request = PlacementRequest.of(3, 2, span_tp=True)
    hosts = (host("a", 1), host("b", 1), host("c", 4))
    assert broken(request, "abcccc", *hosts) == set()
    found = plan(request, ClusterSnapshot(hosts))
    assert isinstance(found, Infeasible) and not found.proven
    # Five GPUs are too few however they are split.
    few = plan(request, ClusterSnapshot((host("a", 1), host("c", 4))))
    assert isinstance(few, Infeasible) and few.proven
    halves = plan(PlacementRequest.of(2, 2, span_tp=True), ClusterSnapshot((host("a", 3),)))
    assert isinstance(halves, Infeasible) and halves.proven


# -- addresses, models, GPU ids, names, leftovers --------------------------------------------------


def at(made, address: str):
    return attrs.evolve(made, address=address)


def test_two_hosts_with_one_address_are_one_to_the_engine():
    request = PlacementRequest.of(4, 2)
    a, b = at(host("a", 4), "10.0.0.1"), at(host("b", 4), "10.0.0.1")
    c = at(host("c", 4), "10.0.0.2")
    assert broken(request, "aaaabbbb", a, b, c) == {"addresses_differ"}
    assert set(planned(request, a, b, c)) in ({"a", "c"}, {"b", "c"})
    found = plan(request, ClusterSnapshot((a, b)))
    assert isinstance(found, Infeasible) and not found.proven
    # Data-parallel ranks have an engine each.
    ranks = PlacementRequest.of(4, data_parallel_size=2)
    assert broken(ranks, "aaaabbbb", a, b) == set()


def test_ranks_are_sorted_by_address_as_text():
    request = PlacementRequest.of(3, 2, span_tp=True)
    hosts = [host(name, 8) for name in "abcd"]
    by_name = broken(request, "acdbbb", *hosts)
    assert by_name == {"ranks_stay_whole"}
    assert broken(PlacementRequest.of(2, 2), "aabb", at(host("a", 8), "10.0.0.10"),
                  at(host("b", 8), "10.0.0.9")) == set()  # fmt: skip


def test_a_host_without_the_model_is_no_place_for_a_worker():
    request = PlacementRequest.of(2)
    a, b = host("a", 8), host("b", 8)
    assert broken(request, "aa", a, b, model_on=["a"]) == set()
    assert broken(request, "aa", a, b, model_on=["b"]) == {"model_present"}


@pytest.mark.parametrize(
    ("gpu", "ids", "wrong"),
    [
        (1, (("0",), ("1",)), False),
        (1, (("0",), ("0",)), True),
        (1, (("0", "1"), ("2",)), True),
        (1, ((), ("1",)), True),
        (0.5, (("0",), ("0",)), False),
        (0.6, (("0",), ("0",)), True),
        (0, ((), ()), False),
        (0, (("3",), ()), True),
    ],
)
def test_gpus_that_probes_saw(gpu, ids, wrong):
    request = PlacementRequest.of(1, 2, gpu=gpu, cpu=1)
    found = violations(request, placement(request, "aa", ids), ClusterSnapshot((host("a", 8),)))
    assert {v.rule.name for v in found} == ({"gpu_ids_distinct"} if wrong else set())


def test_equal_ids_on_different_hosts_are_different_gpus():
    request = PlacementRequest.of(1, 2)
    seen = placement(request, "ab", [("0",), ("0",)])
    assert violations(request, seen, ClusterSnapshot((host("a", 8), host("b", 8)))) == ()


def test_a_name_stands_for_one_group():
    request = PlacementRequest.of(1)
    other = attrs.evolve(group("other", "a", [1.0]), name="llm")
    found = violations(request, placement(request, "a"), ClusterSnapshot((host("a", 8),), (other,)))
    assert [v.rule.name for v in found] == ["name_unique"]


@pytest.mark.parametrize(
    ("pin", "node_ids", "good"),
    [
        (Pin.NODE, "ab", True), (Pin.NODE, "ba", False), (Pin.NODE, "ac", False),
        (Pin.HOSTS, "ba", True), (Pin.HOSTS, "aa", True), (Pin.HOSTS, "ac", False),
        (Pin.NONE, "cc", True),
    ],
)  # fmt: skip
def test_ray_may_choose_as_far_as_the_pin_lets_it(pin, node_ids, good):
    request = PlacementRequest.of(1, 2, pin=pin)
    snapshot = ClusterSnapshot(tuple(host(name, 8) for name in "abc"))
    laid = PlacementPlan(request.bundles, ("a", "b"), "PACK", pin)
    found = violations(request, placement(request, node_ids), snapshot, laid)
    assert {v.rule.name for v in found} == (set() if good else {"placement_matches_plan"})


def test_a_pin_has_a_name():
    assert PlacementRequest.of(1, pin="hosts").pin is Pin.HOSTS
    with pytest.raises(ConfigError, match=r"pin = 'nod': is not a pin level; did you mean node\?"):
        PlacementRequest.of(1, pin="nod")
    assert (
        plan(PlacementRequest.of(1, pin="none"), ClusterSnapshot((host("a", 1),))).pin is Pin.NONE
    )


def test_what_is_left_behind_is_named():
    before = ClusterSnapshot((host("a", 8, 6),), (group("old", "a", [1.0, 1.0]),))
    assert violations_of_release("llm", before, before) == ()
    leaked = ClusterSnapshot((host("a", 8, 4),), before.groups)
    assert [str(v) for v in violations_of_release("llm", before, leaked)] == [
        "given_back: 2 GPUs of host-a are not free again"
    ]
    ours = attrs.evolve(group("new", "a", [1.0, 1.0]), name="llm")
    live = ClusterSnapshot((host("a", 8, 4),), (*before.groups, ours))
    assert [str(v) for v in violations_of_release("llm", before, live)] == [
        "given_back: the group 'llm' is still CREATED"
    ]
    assert violations_of_release("other", before, live) == ()


def test_every_requirement_has_its_rule():
    """V1 to V20 of what valid means, each once; V21 judges what is left behind."""
    ids = [rule.id.rstrip("abc") for rule in RULES]
    numbers = [int(id_[1:]) for id_, _ in itertools.groupby(ids)]
    assert [n for n in numbers if n <= 20] == list(range(1, 21))


def test_bundles_with_several_chips_hold_several_workers():
    request = PlacementRequest([{"TPU": 4}, {"TPU": 4}], "PACK", 2, 4)
    assert request.workers == (0, 0, 0, 0, 1, 1, 1, 1)
    assert request.tp_groups == ((0, 0), (0, 0), (1, 1), (1, 1))
    assert planned(request, host("a", 0, TPU=4), host("b", 0, TPU=4)) == ("a", "b")
    assert Bundle.of(TPU=4).units() == {"TPU": 4}
