"""Several models at once: each plan is sound on what the others leave."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.batch import occupied, plan_all
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, PlacementPlan, total_of
from tests.strategies import group, host, requests, snapshots

BATCHES = st.lists(requests(), min_size=1, max_size=4)


def named(batch: list[PlacementRequest]) -> list[tuple[str, PlacementRequest]]:
    return [(f"m#{i}", request) for i, request in enumerate(batch, 1)]


def fitting(*batch: tuple[str, PlacementRequest], on: ClusterSnapshot) -> dict[str, bool]:
    return {name: isinstance(found, PlacementPlan) for name, found in plan_all(batch, on)}


@settings(max_examples=100, deadline=None)
@given(BATCHES, snapshots())
def test_every_plan_is_sound_beside_the_others(batch, snapshot):
    """Each fits and breaks no rule even as the last, with all others reserved before it."""
    found = plan_all(named(batch), snapshot)
    plans = {name: answer for name, answer in found if isinstance(answer, PlacementPlan)}
    for node in snapshot.hosts:
        mine = [
            bundle
            for answer in plans.values()
            for bundle, node_id in zip(answer.bundles, answer.node_ids, strict=True)
            if node_id == node.node_id
        ]
        for resource in node.total:
            assert total_of(mine, resource) <= max(0, node.free(resource))
    if all(request.gpu_share == UNIT for request in batch):
        # The order of slices decides which GPUs they share, so only whole ones can be swapped.
        for name, request in named(batch):
            others = snapshot
            for other, answer in plans.items():
                others = occupied(others, other, answer) if other != name else others
            if name in plans:
                assert violations(request, plans[name], others) == ()


@settings(max_examples=60, deadline=None)
@given(BATCHES, snapshots(), st.randoms(use_true_random=False))
def test_the_order_given_decides_nothing(batch, snapshot, rng: random.Random):
    shuffled = named(batch)
    rng.shuffle(shuffled)
    found = plan_all(shuffled, snapshot)
    assert [name for name, _ in found] == [name for name, _ in shuffled]
    assert dict(found) == dict(plan_all(named(batch), snapshot))


@settings(max_examples=60, deadline=None)
@given(requests(), snapshots())
def test_a_single_model_gets_its_own_plan(request, snapshot):
    assert plan_all([("m", request)], snapshot) == (("m", plan(request, snapshot)),)


def test_the_largest_comes_first():
    small, large = PlacementRequest.of(1, 4), PlacementRequest.of(4)
    on = ClusterSnapshot((host("a", 4), host("b", 2), host("c", 2)))
    assert fitting(("a-small", small), ("large", large), on=on) == {"a-small": True, "large": True}


def test_of_equal_ones_the_choosier_comes_first():
    on = ClusterSnapshot((host("a", 4, kind="H100"), host("b", 4, kind="A100")))
    choosy = PlacementRequest.of(4, accelerator_type="H100")
    assert fitting(("any", PlacementRequest.of(4)), ("h", choosy), on=on) == {
        "any": True,
        "h": True,
    }


def test_replicas_come_in_the_order_of_their_numbers():
    """Not in the order of letters, in which `m#10` comes before `m#2`."""
    on = ClusterSnapshot((host("a", 9),))
    batch = tuple((f"m#{i}", PlacementRequest.of(1)) for i in range(10, 0, -1))
    assert [name for name, fits in fitting(*batch, on=on).items() if not fits] == ["m#10"]


def test_an_explanation_names_who_of_us_is_in_the_way():
    on = ClusterSnapshot((host("a", 8),))
    found = dict(plan_all([("big", PlacementRequest.of(8)), ("m", PlacementRequest.of(4))], on))
    why = found["m"]
    assert isinstance(why, Infeasible)
    assert why.reason == (
        "needs 4 GPUs on one host (tensor_parallel_size=4); "
        "no host has any GPU free (host-a, 8 taken by group 'big')"
    )
    assert "when group 'big' is gone" in why.alternatives


def test_what_does_not_fit_takes_nothing():
    on = ClusterSnapshot((host("a", 4),))
    assert fitting(("big", PlacementRequest.of(8)), ("m", PlacementRequest.of(4)), on=on)["m"]


def test_many_that_do_not_fit_are_explained_once(monkeypatch: pytest.MonkeyPatch):
    tried = []
    monkeypatch.setattr(
        "nodeinit.placement.batch.plan", lambda *args: tried.append(args) or plan(*args)
    )
    request = PlacementRequest.of(2)
    found = fitting(*((f"m#{i}", request) for i in range(50)), on=ClusterSnapshot((host("a", 5),)))
    assert sum(found.values()) == 2
    assert len(tried) == 3


def test_slices_are_cut_from_single_gpus_where_they_are_known():
    """0.6 of each of two GPUs is left, and not 1.2: a second slice of 0.6 has its own."""
    node = attrs.evolve(host("a", 2, 1.6), gpus=(10_000, 6_000))
    request = PlacementRequest((Bundle.of(GPU=0.6),))
    snapshot = ClusterSnapshot((node,))
    for left in ((10_000, 0), (4_000, 0)):
        answer = plan(request, snapshot)
        assert isinstance(answer, PlacementPlan)
        snapshot = occupied(snapshot, "m", answer)
        assert snapshot.hosts[0].gpus == left
    assert isinstance(plan(request, snapshot), Infeasible)


def test_slices_of_groups_leave_what_they_leave():
    """0.6 and 0.6 are taken of two GPUs: 0.4 is left of each, and no half."""
    on = ClusterSnapshot((host("a", 2, 0.8),), (group("g", "a", [0.6, 0.6]),))
    half, less = PlacementRequest.of(1, gpu=0.5), PlacementRequest.of(1, gpu=0.4)
    assert sum(fitting(("m#1", half), ("m#2", half), on=on).values()) == 0
    assert sum(fitting(*((f"m#{i}", less) for i in range(3)), on=on).values()) == 2


def test_slices_that_nobody_can_locate_are_hoped_for_no_more_often_than_the_sum_allows():
    """Three of 0.3 may lie on one GPU or on three: of 1.1 free, one half is certain to be there."""
    on = ClusterSnapshot((host("a", 2, 1.1),), (group("g", "a", [0.3] * 3),))
    half = PlacementRequest.of(1, gpu=0.5)
    assert sum(fitting(*((f"m#{i}", half) for i in range(4)), on=on).values()) == 2


def test_a_request_that_was_refused_is_explained_anew_after_a_plan():
    """Without its label the first would fit; the last would not, since `m` is there by then."""
    on = ClusterSnapshot((host("a", 4, zone="a"), host("b", 8, zone="b")))
    in_a, in_b = (PlacementRequest.of(8, labels={"zone": zone}) for zone in "ab")
    found = dict(plan_all([("a", in_a), ("m", in_b), ("z", in_a)], on))
    before, after = found["a"], found["z"]
    assert isinstance(before, Infeasible) and "without labels" in before.alternatives
    assert isinstance(after, Infeasible) and "without labels" not in after.alternatives
