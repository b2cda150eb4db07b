"""What it costs to say what Ray alone would do, next to the answer that it is a part of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from nodeinit.placement.planner import plan
from nodeinit.placement.ray_alone import what_ray_does
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan
from tests.strategies import host

pytestmark = pytest.mark.bench

EIGHT = ClusterSnapshot(
    tuple(host(f"{i}", 8, free) for i, free in enumerate((8, 8, 5, 3, 8, 2, 6, 8)))
)
FIT = {
    "fits": PlacementRequest.of(4, 2, cpu=1, engine={"CPU": 2}),
    "fits, Ray would split it": PlacementRequest.of(8, 4),
    "fits, spread": PlacementRequest.of(1, 16, strategy="SPREAD"),
}
UNFIT = {
    "too many groups": PlacementRequest.of(8, 6),
    "shares that fit the sum only": PlacementRequest.of(1, 80, gpu=0.6),
    "no such label": PlacementRequest.of(8, 1, labels={"zone": "a"}),
}


@pytest.mark.parametrize("name", FIT | UNFIT)
def test_the_sentence_is_a_small_part_of_an_explanation(name: str) -> None:
    request = (FIT | UNFIT)[name]
    sentence = took(lambda: what_ray_does(request, EIGHT))
    whole = took(lambda: plan(request, EIGHT))
    print(f"\n{name}: sentence / answer = {sentence / whole:.2f}")
    assert isinstance(plan(request, EIGHT), PlacementPlan) == (name in FIT)
    assert name in FIT or sentence < whole / 2


def took(work: Callable[[], object]) -> float:
    """The median of some runs."""
    times = []
    for _ in range(15):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
