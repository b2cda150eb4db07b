"""A host dies under a node: the node moves or lets go, and nobody else is held up.

Beside it, what becomes of a cluster where a group that nobody looks after loses its host.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from ray.util import placement_group, remove_placement_group

from nodeinit import CallbackCtx, LLMConfig, NodeInitializer
from nodeinit.download.manifest import Manifest
from nodeinit.fsm.policy import Backoff
from nodeinit.node.policy import DEFAULT
from nodeinit.placement.topology import Pin
from nodeinit.ray import RayCluster, group_rows
from tests.ray.conftest import GPUS, on_hosts, run, standing
from tests.ray.test_reservations import hosts_of

SLOW = pytest.mark.slow  # a host has to be started again for each
POLICY = attrs.evolve(
    DEFAULT.with_phases(
        config={"attempts": 1000, "backoff": Backoff(0.2, 1, 0.2)},
        download={"attempts": 1000, "backoff": Backoff(0.2, 1, 0.2)},
        placement={"attempts": 1000, "backoff": Backoff(0.2, 1, 0.2)},
    ),
    replans=100,
)


class Watches:
    """Notes what was left of the node's group whenever a plan is about to be followed."""

    found: list[list[str]] = []  # noqa: RUF012  for all instances

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        snapshot = await RayCluster().snapshot()
        Watches.found.append([g.name for g in snapshot.groups if g.name.startswith("llm")])


@pytest.fixture
def node(cluster: RayCluster, model: Manifest, tmp_path: Path) -> Callable[..., NodeInitializer]:
    """Makes a node of four workers on one host."""

    def make(pin: Pin = Pin.NODE) -> NodeInitializer:
        Watches.found.clear()
        config = LLMConfig(
            model_id="org/tiny",
            model_source=model.source,
            engine_kwargs={"tensor_parallel_size": 4},
            nodeinit={"store": str(tmp_path / "store"), "pin": pin.value},
            callback=Watches,
        )
        return NodeInitializer(config, cluster=cluster, policy=POLICY, name="llm")

    return make


async def died(cluster: RayCluster, node_id: str) -> None:
    assert cluster.hosts is not None
    await asyncio.to_thread(cluster.hosts.kill_host, node_id)


@contextlib.asynccontextmanager
async def others_come_and_go() -> AsyncIterator[list[int]]:
    """Small groups of somebody else, one after another; the tries that each of them took."""
    tries: list[int] = []
    enough = asyncio.Event()

    async def come_and_go() -> None:
        while not enough.is_set():
            group = placement_group([{"CPU": 1}])
            while (row := read(group)).state != group_rows.CREATED:
                await asyncio.sleep(0.005)
            tries.append(row.tries)
            remove_placement_group(group)
            await asyncio.sleep(0.02)

    task = asyncio.ensure_future(come_and_go())
    yield tries
    before = len(tries)
    while len(tries) < before + 5:  # at the latest now they are created again
        await asyncio.sleep(0.05)
    enough.set()
    await task


def read(group: Any) -> group_rows.Row:
    row = group_rows.read(group.id.hex())
    assert row is not None
    return row


@pytest.mark.parametrize("pin", [Pin.NODE, pytest.param(Pin.HOSTS, marks=SLOW), Pin.NONE])
def test_a_node_whose_host_died_lets_go_first_and_comes_up_elsewhere(
    cluster: RayCluster, node: Callable[..., NodeInitializer], pin: Pin
) -> None:
    async def main() -> None:
        async with node(pin) as initializer:
            await initializer.wait_for("ready")
            plans = len(Watches.found)
            assert initializer.ctx.placement is not None
            home = initializer.ctx.placement.hosts[0]
            again = asyncio.ensure_future(initializer.wait_for("placement"))
            async with others_come_and_go():
                await died(cluster, home)
                await again
                await initializer.wait_for("ready")
                assert home not in initializer.ctx.placement.hosts
            assert initializer.ctx.attempt > 1
            # When the hook was asked about the new plan, nothing of the old one was left.
            assert Watches.found[plans:] and not any(Watches.found[plans:])

    run(main)


@pytest.mark.parametrize("pin", [pytest.param(Pin.NODE, marks=SLOW), Pin.NONE])
def test_a_node_without_room_elsewhere_waits_and_holds_nobody_up(
    cluster: RayCluster, node: Callable[..., NodeInitializer], pin: Pin
) -> None:
    """Left alone, the group that lost its host would be tried before all others, without a pause."""

    async def main() -> None:
        async with node(pin) as initializer:
            await initializer.wait_for("ready")
            assert initializer.ctx.placement is not None
            home = initializer.ctx.placement.hosts[0]
            rest = [host for host in hosts_of(cluster) if host != home]
            for index, host in enumerate(rest):
                await cluster.reserve(on_hosts(*[host] * (GPUS - 1)), f"others-{index}")
            async with others_come_and_go() as tries:
                await died(cluster, home)
                await initializer.wait_for("backoff")  # there is no room for a new plan
                before = len(tries)
                while len(tries) < before + 20:
                    await asyncio.sleep(0.05)
                assert statistics.median(tries[before:]) == 1
                assert (await standing(cluster))[1] == 2  # and nothing is held meanwhile
                await cluster.remove("others-0")
                await initializer.wait_for("ready")
            assert initializer.ctx.placement.hosts == (rest[0],)
        await cluster.remove("others-1")

    run(main)


def test_a_group_that_nobody_looks_after_holds_everybody_up(cluster: RayCluster) -> None:
    """Ray alone (ray#65970): one dead host, and no group of the cluster is created any more."""
    victim = placement_group([{"GPU": 1}] * GPUS, strategy="STRICT_PACK", name="victim")

    async def main() -> None:
        home = (await cluster.observe(victim)).node_ids[0]
        rest = [host for host in hosts_of(cluster) if host != home]
        for index, host in enumerate(rest):
            await cluster.reserve(on_hosts(host), f"others-{index}")
        await died(cluster, home)
        while read(victim).state != group_rows.RESCHEDULING:
            await asyncio.sleep(0.05)
        small = placement_group([{"CPU": 1}], name="small")
        began = read(victim).tries
        await asyncio.sleep(3)
        (found,) = [w for w in (await cluster.checkup()).waiting if w.row.name == "victim"]
        tried = read(victim).tries - began
        row = read(small)
        assert (row.state, row.reason, row.tries) == ("PENDING", group_rows.QUEUED, 0)
        assert tried > 1000
        assert found.blocks and found.rate > 100
        print(f"\nthe victim was tried {tried} times while the small group waited, not once tried")
        remove_placement_group(victim)
        while read(small).state != group_rows.CREATED:
            await asyncio.sleep(0.005)
        remove_placement_group(small)
        for index in range(2):
            await cluster.remove(f"others-{index}")

    run(main)
