"""Random lives of clusters: every plan is valid, lands, and is what a fresh look would plan."""

from __future__ import annotations

import os
from collections import Counter

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot
from tests.placement.walk import Walk
from tests.strategies import host

STEPS = int(os.environ.get("NODEINIT_RUNS", "1500"))
A_LIFE = 60


def test_every_plan_of_a_random_life_is_valid_and_lands():
    """So many steps as `NODEINIT_RUNS` says: a million when asked."""
    counts: Counter[str] = Counter()
    for seed in range(max(1, STEPS // A_LIFE)):
        walk = Walk(seed)
        for _ in range(A_LIFE):
            walk.step()
        counts += walk.counts
    print(f"\n{STEPS} steps: {counts['planned']} planned and landed, {counts['refused']} refused")
    assert counts["planned"] > STEPS // 4
    assert counts["refused"] > STEPS // 20


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, UNIT // 2), max_size=4), min_size=1, max_size=3),
    st.integers(1, UNIT // 2),
    st.integers(1, 6),
)
def test_twice_the_share_of_twice_as_much_is_the_same(gpus, share, count):
    """Scaling the slices that are asked for and those that are free changes nothing."""

    def verdict(factor: int):
        hosts = []
        for name, free in zip("abc", gpus, strict=False):
            single = tuple(left * factor for left in free)
            made = host(name, len(free), gpu_list=single)
            hosts.append(attrs.evolve(made, available=made.available.set("GPU", sum(single))))
        bundles = (Bundle({"GPU": share * factor}),) * count
        request = PlacementRequest(bundles, pipeline_parallel_size=count)
        plan = find(request, ClusterSnapshot(tuple(hosts))).plan
        return plan and plan.node_ids

    assert verdict(1) == verdict(2)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 3, 7]))
def test_more_cpu_for_everybody_changes_nothing(gpus, tp, cpu, factor):
    hosts = [(gpus, 8), (8, 4), (4, 16)]

    def verdict(times: int):
        made = tuple(
            host(name, count, cpu=have * times)
            for name, (count, have) in zip("abc", hosts, strict=True)
        )
        request = PlacementRequest.of(tp, 2, cpu=cpu * times, engine={"CPU": times})
        plan = find(request, ClusterSnapshot(made)).plan
        return plan and plan.node_ids

    assert verdict(1) == verdict(factor)
