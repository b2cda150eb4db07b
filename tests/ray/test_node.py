"""The whole machine on a real Ray with several hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ray.util import placement_group, placement_group_table, remove_placement_group

from nodeinit.clusters.base import Progress
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, NodeModelDownloadable
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import Shelf, is_complete
from nodeinit.errors import InitializationCancelled, InitializationFailed
from nodeinit.fsm.policy import Backoff, Policy
from nodeinit.fsm.snapshot import Step
from nodeinit.node.initializer import NodeInitializer
from nodeinit.node.policy import DEFAULT
from nodeinit.node.ready import ReadyNode, initialize_node
from nodeinit.placement.labels import NODE_ID
from nodeinit.ray import RayCluster
from tests.ray.conftest import GPUS, on_hosts, run, standing
from tests.ray.test_fetches import hosts_of

ALL = NodeModelDownloadable.MODEL_AND_TOKENIZER
QUICK: Policy = DEFAULT.with_phases(
    **{phase: {"backoff": Backoff(0.1, 1, 0.1)} for phase in ("config", "download", "placement")}
)
Configs = Callable[..., LLMConfig]


@pytest.fixture
def config(model: Manifest, tmp_path: Path) -> Configs:
    def make(tp: int = 4, pp: int = 2, **more: Any) -> LLMConfig:
        sizes = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp}
        return LLMConfig(
            model_id="org/tiny",
            model_source=model.source,
            engine_kwargs=sizes,
            nodeinit={"store": str(tmp_path / "store")},
            **more,
        )

    return make


def rows_of(name: str) -> list[dict[str, Any]]:
    """What Ray itself says about the groups of a node, removed ones included."""
    return [row for row in placement_group_table().values() if row["name"].startswith(name)]


def check_ready(ready: ReadyNode, model: Manifest) -> None:
    """Ready means: Ray has the group where the plan wants it, and the model is on every host."""
    plan = ready.ctx.plan
    assert plan is not None
    (row,) = [row for row in rows_of(ready.node.name) if row["state"] == "CREATED"]
    assert row["placement_group_id"] == ready.placement.group_id
    there = [row["bundles_to_node_id"][index] for index in range(len(plan.bundles))]
    assert there == list(plan.node_ids) == list(ready.placement.node_ids)
    for node_id in plan.hosts:
        assert ready.ctx.nodes[node_id].verified
    assert is_complete(ready.model.path, model, ALL)


class Marks:
    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        return ctx.evolve(custom_data={**ctx.custom_data, node_id: "was here"})


def test_a_node_comes_up_on_the_planned_hosts_and_gives_all_back(
    cluster: RayCluster, config: Configs, model: Manifest
) -> None:
    async def main() -> None:
        # Half of each host is taken: the two stages lie on two hosts.
        for index, host in enumerate(hosts_of(cluster)):
            await cluster.reserve(on_hosts(*[host] * 4), f"others-{index}")
        ready = await initialize_node(config(callback=Marks), cluster=cluster)
        check_ready(ready, model)
        assert len(ready.placement.hosts) == 2
        assert ready.placement.node_ids[:4] == (ready.placement.hosts[0],) * 4
        assert dict(ready.ctx.custom_data) == dict.fromkeys(ready.placement.hosts, "was here")
        assert (await standing(cluster))[1] == 4
        await ready.release()
        assert ready.node.state == "released"
        assert (await standing(cluster))[1] == 12
        for index in range(3):
            await cluster.remove(f"others-{index}")

    run(main)


@pytest.mark.parametrize("phase", ["config", "download", "placement", "ready"])
def test_a_cancel_in_any_phase_leaves_no_group_and_every_gpu(
    cluster: RayCluster, config: Configs, phase: str
) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        def on_step(step: Step) -> None:
            if step.after.state == phase:
                entered.set()

        async with NodeInitializer(config(), cluster=cluster) as node:
            node.subscribe(on_step)
            await entered.wait()
            assert (await node.cancel("enough")).state == "cancelled"
            assert node.snapshot.cleanup_errors == ()
            with pytest.raises(InitializationCancelled, match="enough"):
                await node.wait_for("ready" if phase != "ready" else "failed")
        assert await standing(cluster) == ([], 3 * GPUS)
        assert {row["state"] for row in rows_of(node.name)} <= {"REMOVED"}

    run(main)


def test_a_host_that_is_lost_during_the_download_leads_to_a_new_plan(
    cluster: RayCluster, config: Configs, model: Manifest, tmp_path: Path
) -> None:
    lock = Shelf.of(tmp_path / "store", model).lock
    lock.parent.mkdir(parents=True)

    async def main() -> None:
        waiting = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.stage == "wait":
                waiting.set()

        with FileLock(lock):  # as if another process of the host were at it
            node = await NodeInitializer(config(), cluster=cluster, policy=QUICK).__aenter__()
            node.subscribe_progress(on_progress)
            await waiting.wait()
            assert node.ctx.plan is not None
            lost = node.ctx.plan.hosts[0]
            await asyncio.to_thread(cluster.hosts.kill_host, lost)  # type: ignore[union-attr]
            while node.state == "download":
                await asyncio.sleep(0.05)
        await node.wait_for("ready")
        ready = ReadyNode(node)
        check_ready(ready, model)
        assert lost not in ready.placement.hosts
        await ready.release()
        assert node.snapshot.cleanup_errors == ()

    run(main)


def test_a_host_that_is_lost_when_ready_is_healed(
    cluster: RayCluster, config: Configs, model: Manifest
) -> None:
    async def main() -> None:
        ready = await initialize_node(config(), cluster=cluster, policy=QUICK)
        lost = ready.placement.hosts[0]
        again = asyncio.ensure_future(ready.node.wait_for("placement"))
        await asyncio.to_thread(cluster.hosts.kill_host, lost)  # type: ignore[union-attr]
        await again
        await ready.node.wait_for("ready")
        check_ready(ready, model)
        assert lost not in ready.placement.hosts
        assert ready.ctx.attempt == 2
        await ready.release()
        assert ready.node.snapshot.cleanup_errors == ()

    run(main)


def test_an_impossible_request_fails_with_a_reason_and_reserves_nothing(
    cluster: RayCluster, config: Configs
) -> None:
    node = NodeInitializer(config(tp=16, pp=1), cluster=cluster)

    async def main() -> None:
        async with node:
            with pytest.raises(InitializationFailed, match=r"needs 16 GPUs on one host.*has 8"):
                await node.wait_for("ready")
        assert node.state == "failed"

    run(main)
    assert rows_of(node.name) == []


class Brings:
    """Brings a group of its own."""

    group: Any = None

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(placement_group=Brings.group)


def test_a_group_that_a_hook_brings_is_adopted_and_stays(
    cluster: RayCluster, config: Configs
) -> None:
    host = hosts_of(cluster)[2]
    pins = [{NODE_ID: host}] * 8
    Brings.group = placement_group([{"GPU": 1}] * 8, bundle_label_selector=pins, name="its own")

    async def main() -> None:
        ready = await initialize_node(config(callback=Brings), cluster=cluster)
        assert ready.placement.adopted
        assert set(ready.placement.node_ids) == {host}
        await ready.release()
        assert await standing(cluster) == (["its own"], 2 * GPUS)

    run(main)
    remove_placement_group(Brings.group)
