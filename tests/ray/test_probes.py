"""Which GPUs processes in the bundles of a group see."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from nodeinit import LLMConfig, initialize_node
from nodeinit.download.manifest import Manifest
from nodeinit.errors import TemporaryError
from nodeinit.placement.topology import UNIT, Bundle, Placement, PlacementPlan
from nodeinit.ray import RayCluster, probes
from tests.ray.conftest import GPUS, on_hosts, run, standing
from tests.ray.test_reservations import hosts_of


def seen_on(placement: Placement, node_id: str) -> list[tuple[str, ...] | None]:
    return [bundle.gpu_ids for bundle in placement.bundles if bundle.node_id == node_id]


def test_every_bundle_has_a_gpu_of_its_own(cluster: RayCluster) -> None:
    first, second, _ = hosts_of(cluster)

    async def main() -> None:
        await cluster.reserve(on_hosts(first), "others")
        placement = await cluster.reserve(on_hosts(*[first] * 3, *[second] * 2), "llm")
        probed = await cluster.probe(placement)
        # In the order of bundles, from the lowest that is free.
        assert seen_on(probed, first) == [("1",), ("2",), ("3",)]
        assert seen_on(probed, second) == [("0",), ("1",)]
        assert probed.node_ids == placement.node_ids
        await cluster.remove("llm")
        await cluster.remove("others")

    run(main)


def test_shares_of_a_gpu_and_bundles_without_one(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[0]
    bundles = (Bundle.of(CPU=1), *[Bundle({"GPU": 3_333})] * 4)

    async def main() -> None:
        placement = await cluster.reserve(PlacementPlan(bundles, (host,) * 5), "llm")
        probed = await cluster.probe(placement)
        assert seen_on(probed, host) == [None, ("0",), ("0",), ("0",), ("1",)]
        await cluster.remove("llm")

    run(main)


def test_a_bundle_that_is_in_use_does_not_answer_in_time_and_nothing_runs_on(
    cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = hosts_of(cluster)[0]
    monkeypatch.setattr(probes, "_DEADLINE", 3.0)

    @ray.remote(num_gpus=1, num_cpus=0)
    def works() -> None:
        time.sleep(600)

    async def main() -> None:
        placement = await cluster.reserve(on_hosts(host, host), "llm")
        busy = works.options(scheduling_strategy=strategy(placement, 1)).remote()
        await asyncio.sleep(2)
        with pytest.raises(TemporaryError, match=r"GPUs of bundle \d of llm .* no answer within 3"):
            await cluster.probe(placement)
        ray.cancel(busy, force=True)
        await cluster.remove("llm")
        assert await standing(cluster) == ([], 3 * GPUS)

    run(main)


def test_a_cancel_ends_the_probes(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[0]

    async def main() -> None:
        placement = await cluster.reserve(on_hosts(*[host] * 4), "llm")
        for pause in (0, 0.002, 0.01, 0.05, 0.2):
            task = asyncio.ensure_future(cluster.probe(placement))
            await asyncio.sleep(pause)
            task.cancel()
            await asyncio.wait({task})  # that it was over in time is fine too
        # Those of before are not in the way.
        assert seen_on(await cluster.probe(placement), host) == [("0",), ("1",), ("2",), ("3",)]
        await cluster.remove("llm")
        assert (await cluster.snapshot()).host(host).free("GPU") == GPUS * UNIT  # type: ignore[union-attr]

    run(main)


@pytest.mark.parametrize("asked", [True, False])
def test_a_node_knows_its_gpus_when_its_config_asks_for_it(
    cluster: RayCluster, model: Manifest, tmp_path: Path, asked: bool
) -> None:
    config = LLMConfig(
        model_id="org/tiny",
        model_source=model.source,
        engine_kwargs={"tensor_parallel_size": 2},
        nodeinit={"store": str(tmp_path / "store"), "probe_gpus": asked},
    )

    async def main() -> None:
        ready = await initialize_node(config, cluster=cluster, journal=tmp_path / "run.jsonl")
        found = [bundle.gpu_ids for bundle in ready.placement.bundles]
        assert found == ([("0",), ("1",)] if asked else [None, None])
        await ready.release()

    run(main)


def strategy(placement: Placement, bundle: int) -> object:
    """What puts a task into a bundle."""
    return PlacementGroupSchedulingStrategy(probes.groups.handle(placement.group_id), bundle)
