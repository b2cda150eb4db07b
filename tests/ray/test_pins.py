"""How much of a plan is dictated to Ray, and what becomes of what it chose."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from nodeinit import LLMConfig, NodeInitializer
from nodeinit.clusters.base import Displaced
from nodeinit.clusters.sim_policy import choose
from nodeinit.download.manifest import Manifest
from nodeinit.placement.topology import Bundle, Pin, PlacementPlan
from nodeinit.ray import RayCluster
from tests.ray.conftest import GPUS, on_hosts, run, standing
from tests.ray.test_reservations import hosts_of

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK")
CHOICES = [
    (strategy, count)
    for strategy in (*STRATEGIES, "STRICT_SPREAD")
    for count in (1, 2, 3, 6, 10)
    if (strategy, count) != ("SPREAD", 10)  # two hosts become equally good, and Ray takes either
]


def loosely(plan: PlacementPlan, pin: Pin) -> PlacementPlan:
    return attrs.evolve(plan, pin=pin)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pinned_to_hosts_ray_chooses_among_them_only(cluster: RayCluster, strategy: str) -> None:
    first, second, _ = hosts_of(cluster)  # the third is empty, and Ray likes that best

    async def main() -> None:
        await cluster.reserve(on_hosts(*[first] * 2, *[second] * 2), "others")
        plan = on_hosts(*[first] * 4, *[second] * (0 if strategy == "STRICT_PACK" else 4))
        plan = attrs.evolve(plan, strategy=strategy, pin=Pin.HOSTS)
        placement = await cluster.reserve(plan, "llm")
        assert set(placement.hosts) <= set(plan.hosts)
        await cluster.remove("llm")
        await cluster.remove("others")

    run(main)


def test_pinned_to_hosts_a_bundle_may_move_between_them(cluster: RayCluster) -> None:
    first, second, _ = hosts_of(cluster)

    async def main() -> None:
        await cluster.reserve(on_hosts(*[first] * GPUS), "others")  # since the plan was made
        plan = on_hosts(*[first] * 2, *[second] * 2)
        with pytest.raises(Displaced):
            await cluster.reserve(plan, "llm")
        placement = await cluster.reserve(loosely(plan, Pin.HOSTS), "llm")
        assert placement.node_ids == (second,) * 4
        await cluster.remove("llm")
        await cluster.remove("others")

    run(main)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_unpinned_ray_takes_the_emptiest_host(cluster: RayCluster, strategy: str) -> None:
    first, second, third = hosts_of(cluster)

    async def main() -> None:
        await cluster.reserve(on_hosts(*[first] * 4, *[second] * 4), "others")
        placement = await cluster.reserve(
            loosely(on_hosts(first, strategy=strategy), Pin.NONE), "llm"
        )
        assert placement.node_ids == (third,)
        await cluster.remove("llm")
        await cluster.remove("others")

    run(main)


@pytest.mark.parametrize(("strategy", "count"), CHOICES)
def test_the_simulated_cluster_chooses_as_ray_does(
    cluster: RayCluster, strategy: str, count: int
) -> None:
    hosts = hosts_of(cluster)

    async def main() -> None:
        # 2, 5 and 8 GPUs are free: no two hosts are equally good for a bundle.
        taken = [host for host, n in zip(hosts, (6, 3, 0), strict=True) for _ in range(n)]
        await cluster.reserve(on_hosts(*taken), "others")
        plan = loosely(on_hosts(*hosts[:1] * count, strategy=strategy), Pin.NONE)
        expected = choose(plan, await cluster.snapshot())
        try:
            placement = await cluster.reserve(plan, "llm")
        except Displaced:
            assert expected is None
        else:
            # Which of equal bundles goes where is another matter: Ray's sort is not stable.
            assert expected is not None
            assert Counter(placement.node_ids) == Counter(expected)
        await cluster.remove("llm")
        await cluster.remove("others")

    run(main)


def test_a_selector_of_a_bundle_holds_without_a_pin_too(cluster: RayCluster) -> None:
    plan = PlacementPlan((Bundle.of({"zone": "nowhere"}, GPU=1),), hosts_of(cluster)[:1])

    async def main() -> None:
        for pin in Pin:
            with pytest.raises(Displaced):
                await cluster.reserve(loosely(plan, pin), "llm")
        assert await standing(cluster) == ([], 3 * GPUS)

    run(main)


def test_a_node_follows_where_ray_put_its_workers(
    cluster: RayCluster, model: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second, third = hosts_of(cluster)
    config = LLMConfig(
        model_id="org/tiny",
        model_source=model.source,
        engine_kwargs={"tensor_parallel_size": 2},
        nodeinit={"store": str(tmp_path_factory.mktemp("store")), "pin": "none"},
    )

    async def main() -> None:
        await cluster.reserve(on_hosts(*[first] * 6, *[second] * 4), "others")
        async with NodeInitializer(config, cluster=cluster) as node:
            await node.wait_for("ready")
            assert node.ctx.attempt == 2
            assert node.ctx.placement is not None and node.ctx.plan is not None
            assert node.ctx.placement.node_ids == node.ctx.plan.node_ids == (third, third)
            assert set(node.ctx.nodes) == {third}
            assert (await standing(cluster))[1] == 3 * GPUS - 12
        await cluster.remove("others")

    run(main)
