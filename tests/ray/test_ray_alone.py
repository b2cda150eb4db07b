"""What is peculiar about Ray's own tries, and that the model knows of it."""

from __future__ import annotations

import asyncio

from ray.util import placement_group

from nodeinit.placement.ray_policy import Outcome, RayPolicy, Verdict
from nodeinit.placement.topology import UNIT, Bundle, PlacementPlan
from nodeinit.ray import RayCluster, group_rows
from tests.ray.conftest import GPUS, on_hosts, run
from tests.ray.ledger import Ledger
from tests.ray.raw import give_back


def test_a_refusal_counts_as_taken_until_the_host_has_something_to_report(
    cluster: RayCluster,
) -> None:
    """Ray chooses a host with crumbs of GPUs, is refused, and ends up elsewhere for a wrong reason."""
    assert cluster.hosts is not None
    crumbs, right, full = cluster.hosts.node_ids

    async def main() -> None:
        ledger = Ledger(await cluster.snapshot())
        plans = {
            "slices": on_hosts(*[crumbs] * 3, GPU=0.6),
            "whole": on_hosts(*[crumbs] * (GPUS - 3), *[right] * (GPUS - 1), *[full] * GPUS),
        }
        for name, plan in plans.items():
            await cluster.reserve(plan, name)
            ledger.take(name, plan.bundles, plan.node_ids)
        before = await cluster.snapshot()
        policy = RayPolicy((Bundle.of(GPU=0.6),), "PACK", ledger.on(before))
        assert policy.run() == Outcome(Verdict.NO_RESOURCES)
        assert policy.persist() == Outcome(Verdict.CREATED, (right,))

        group = placement_group([{"GPU": 0.6}], name="alone")
        reasons = set()
        while (row := group_rows.read(group.id.hex())).state != group_rows.CREATED:  # type: ignore[union-attr]
            reasons.add(row.reason)  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
        assert row is not None and row.node_ids == (right,)
        assert "NO_RESOURCES" in reasons and row.tries > 1
        believed = (await cluster.snapshot()).host(crumbs)
        assert believed is not None and believed.free("GPU") == 6_000  # of 0.4 + 0.4 + 0.4

        await cluster.reserve(PlacementPlan((Bundle.of(CPU=1),), (crumbs,)), "something")
        for _ in range(100):
            believed = (await cluster.snapshot()).host(crumbs)
            assert believed is not None
            if believed.free("GPU") == 12_000:
                break
            await asyncio.sleep(0.05)
        assert believed.free("GPU") == 12_000 == UNIT * 3 - 18_000
        await give_back(cluster, group)
        for name in (*plans, "something"):
            await cluster.remove(name)

    run(main)
