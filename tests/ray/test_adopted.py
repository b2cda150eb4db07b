"""Groups that somebody else made: verified, followed, and never removed by us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.util import placement_group

from nodeinit import CallbackCtx, LLMConfig, NodeInitializer, PermanentError
from nodeinit.download.manifest import Manifest
from nodeinit.errors import InitializationFailed
from nodeinit.placement.labels import NODE_ID
from nodeinit.ray import RayCluster, group_notes, group_rows
from nodeinit.ray.groups import id_of
from nodeinit.ray.removal import Removals
from tests.ray.conftest import GPUS, on_hosts, run
from tests.ray.test_node_death import POLICY, died, read
from tests.ray.test_reservations import hosts_of


class Brings:
    """Brings a group of its own, and may fail later."""

    group: Any = None
    fails_in: str | None = None

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(placement_group=Brings.group)

    def on_before_download(self, ctx: CallbackCtx) -> None:
        if Brings.fails_in == "on_before_download":
            raise PermanentError("not today")

    def on_after_init(self, ctx: CallbackCtx) -> None:
        if Brings.fails_in == "on_after_init":
            raise PermanentError("not today")


@pytest.fixture(autouse=True)
def brought(cluster: RayCluster) -> Iterator[None]:
    """Whatever a test brings is its own to remove: in the way in which Ray does not lose its GPUs."""
    yield
    asyncio.run(Removals(asyncio.to_thread).remove(id_of(Brings.group)))
    Brings.group = Brings.fails_in = None


Nodes = Callable[[], NodeInitializer]


@pytest.fixture
def node(cluster: RayCluster, model: Manifest, tmp_path: Path) -> Nodes:
    def make() -> NodeInitializer:
        config = LLMConfig(
            model_id="org/tiny",
            model_source=model.source,
            engine_kwargs={"tensor_parallel_size": 4},
            nodeinit={"store": str(tmp_path / "store")},
            callback=Brings,
        )
        return NodeInitializer(config, cluster=cluster, policy=POLICY)

    return make


def brings(*node_ids: str, **options: Any) -> Any:
    """A group of a GPU for each of these hosts, or of four GPUs wherever Ray wants them."""
    pins = [{NODE_ID: node_id} for node_id in node_ids]
    Brings.group = placement_group(
        [{"GPU": 1}] * (len(pins) or 4), bundle_label_selector=pins or None, name="own", **options
    )
    return Brings.group


def is_untouched(group: Any) -> bool:
    return read(group).state == group_rows.CREATED and group_notes.all_notes("own") == []


def test_one_that_breaks_a_rule_is_refused_and_stays(cluster: RayCluster, node: Nodes) -> None:
    first, second, _ = hosts_of(cluster)
    group = brings(first, first, second, second)

    async def main() -> None:
        async with node() as initializer:
            with pytest.raises(InitializationFailed, match="group own: tp_groups_whole"):
                await initializer.wait_for("ready")
        assert is_untouched(group)

    run(main)


@pytest.mark.parametrize("hook", ["on_before_download", "on_after_init"])
def test_one_of_a_node_that_fails_stays(cluster: RayCluster, node: Nodes, hook: str) -> None:
    group = brings(*[hosts_of(cluster)[0]] * 4)
    Brings.fails_in = hook

    async def main() -> None:
        async with node() as initializer:
            with pytest.raises(InitializationFailed, match="not today"):
                await initializer.wait_for("ready")
        assert is_untouched(group)

    run(main)


@pytest.mark.parametrize("phase", ["config", "download", "placement", "ready"])
def test_one_of_a_node_that_is_cancelled_stays(
    cluster: RayCluster, node: Nodes, phase: str
) -> None:
    group = brings(*[hosts_of(cluster)[0]] * 4)

    async def main() -> None:
        async with node() as initializer:
            await initializer.wait_for(phase)
            assert (await initializer.cancel()).state == "cancelled"
        assert is_untouched(group)

    run(main)


def test_one_that_ray_moves_is_followed_and_never_removed(cluster: RayCluster, node: Nodes) -> None:
    group = brings(strategy="STRICT_PACK")

    async def main() -> None:
        async with node() as initializer:
            await initializer.wait_for("ready")
            home = read(group).node_ids[0]
            assert home is not None
            rest = [host for host in hosts_of(cluster) if host != home]
            for index, host in enumerate(rest):
                await cluster.reserve(on_hosts(*[host] * (GPUS - 3)), f"others-{index}")
            await died(cluster, home)
            await initializer.wait_for("download")
            while read(group).state != group_rows.RESCHEDULING:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert initializer.state == "download"  # it waits for Ray to place the group
            assert read(group).state == group_rows.RESCHEDULING
            await cluster.remove("others-0")
            await initializer.wait_for("ready")
            assert initializer.ctx.placement is not None
            assert initializer.ctx.placement.node_ids == (rest[0],) * 4
        assert is_untouched(group)
        await cluster.remove("others-1")

    run(main)


def test_one_that_waits_for_a_host_survives_a_cancel(cluster: RayCluster, node: Nodes) -> None:
    group = brings(strategy="STRICT_PACK")

    async def main() -> None:
        async with node() as initializer:
            await initializer.wait_for("ready")
            home = read(group).node_ids[0]
            assert home is not None
            rest = [host for host in hosts_of(cluster) if host != home]
            for index, host in enumerate(rest):
                await cluster.reserve(on_hosts(*[host] * (GPUS - 3)), f"others-{index}")
            await died(cluster, home)
            await initializer.wait_for("download")
            assert (await initializer.cancel()).state == "cancelled"
            assert read(group).state != group_rows.REMOVED
        for index in range(2):
            await cluster.remove(f"others-{index}")

    run(main)
