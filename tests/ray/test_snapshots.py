"""Snapshots cost what has changed, and show no more than what is there."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from ray.util import placement_group, placement_group_table, remove_placement_group

from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.ray import RayCluster, hosts
from nodeinit.ray.group_rows import LiveRows
from tests.ray.conftest import on_hosts, run
from tests.ray.test_reservations import hosts_of


async def at_rest(cluster: RayCluster) -> ClusterSnapshot:
    """The snapshot once Ray says the same twice: what a test before gave back is on its way."""
    snapshot = await cluster.snapshot()
    for _ in range(50):
        await asyncio.sleep(0.1)
        before, snapshot = snapshot, await cluster.snapshot()
        if before is snapshot:
            break
    return snapshot


def test_an_unchanged_cluster_is_the_same_snapshot(cluster: RayCluster) -> None:
    async def main() -> None:
        snapshot = await at_rest(cluster)
        assert await cluster.snapshot() is snapshot

    run(main)


def test_only_what_changed_is_made_anew(cluster: RayCluster) -> None:
    first, *others = hosts_of(cluster)

    async def main() -> None:
        await cluster.reserve(on_hosts(others[0]), "old")
        before = await at_rest(cluster)
        await cluster.reserve(on_hosts(first), "new")
        after = await at_rest(cluster)
        assert after.host(first) != before.host(first)
        for node_id in others:
            assert after.host(node_id) is before.host(node_id)
        assert {group.name for group in after.groups} == {"old", "new"}
        (old,) = before.groups
        assert old in after.groups and any(group is old for group in after.groups)
        for name in ("old", "new"):
            await cluster.remove(name)
        assert (await cluster.snapshot()).groups == ()

    run(main)


def test_hosts_on_one_machine_have_no_address_of_their_own(cluster: RayCluster) -> None:
    assert {host.address for host in run(cluster.snapshot).hosts} == {""}


def row(node_id: str, address: str, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": node_id, "NodeManagerAddress": address, "Alive": alive}


@pytest.mark.parametrize(
    ("rows", "addresses"),
    [
        ([row("a", "10.0.0.1")], ["10.0.0.1"]),
        ([row("a", "10.0.0.1"), row("b", "10.0.0.2")], ["10.0.0.1", "10.0.0.2"]),
        ([row("a", "10.0.0.1"), row("b", "10.0.0.1")], ["", ""]),
        # One that shares an address with another is worth knowing about, where not all do.
        ([row("a", "1"), row("b", "1"), row("c", "2")], ["1", "1", "2"]),
        # A host that came back under another id.
        ([row("a", "1", alive=False), row("b", "1")], ["1", "1"]),
    ],
)
def test_addresses_tell_hosts_apart_or_are_left_out(rows: Any, addresses: list[str]) -> None:
    found = hosts._addresses(rows)
    assert [found[row["NodeID"]] for row in rows] == addresses


@pytest.mark.bench
def test_what_reading_groups_costs_among_many_removed_ones(cluster: RayCluster) -> None:
    """Ray keeps the rows of removed groups for ever, and sends them all whenever it is asked."""
    for _ in range(2000):  # that no host can take: they come and go without a trace but this one
        remove_placement_group(placement_group([{"GPU": 1, "none": 1}] * 8))
    rows = LiveRows()
    ours, rays = [], []
    for _ in range(9):
        began = time.perf_counter()
        assert rows.read() == ()
        middle = time.perf_counter()
        table = placement_group_table()
        ours.append(middle - began)
        rays.append(time.perf_counter() - middle)
    ours.sort(), rays.sort()
    print(
        f"\n{len(table)} removed groups: {1e3 * ours[4]:.1f} ms, "
        f"placement_group_table {1e3 * rays[4]:.1f} ms, ratio {rays[4] / ours[4]:.1f}"
    )
    assert rays[4] > 1.5 * ours[4]
