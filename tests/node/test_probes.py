"""The GPUs of a node, on the simulated cluster."""

from __future__ import annotations

import asyncio

import pytest

from nodeinit import InitializationFailed, NodeInitializer
from nodeinit.clusters.simulated import SimFault
from nodeinit.placement.topology import Bundle, PlacementPlan
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import cluster, initializer, llm_config

ASKED = llm_config(nodeinit={"probe_gpus": True})


def test_gpus_are_dealt_out_as_a_host_of_ray_does_it() -> None:
    async def main() -> None:
        sim = cluster(4, 4)
        sim.make_group([Bundle.of(GPU=0.5), Bundle.of(GPU=0.25)], ["a", "a"], name="others")
        shares = (Bundle.of(GPU=0.25), Bundle.of(GPU=1), Bundle.of(CPU=1), Bundle.of(GPU=0.5))
        plan = PlacementPlan(shares, ("a", "a", "a", "a"))
        placement = await sim.reserve(plan, "llm")
        probed = await sim.probe(placement)
        assert [b.gpu_ids for b in probed.bundles] == [("0",), ("1",), None, ("2",)]
        assert [b.gpu_ids for b in placement.bundles] == [None] * 4

    run_virtual(main())


def test_a_node_probes_only_when_it_is_asked_to() -> None:
    async def main() -> None:
        for config, ids in ((ASKED, [("0",), ("1",)]), (llm_config(), [None, None])):
            sim = cluster()
            async with initializer(config, sim) as node:
                await node.wait_for("ready")
                assert node.ctx.placement is not None
                assert [b.gpu_ids for b in node.ctx.placement.bundles] == ids
            assert sim.calls.get("probe", 0) == len([i for i in ids if i]) // 2

    run_virtual(main())


@pytest.mark.parametrize("kind", ["temporary", "hang", "permanent"])
def test_a_probe_that_goes_wrong_gives_the_group_back(kind: str) -> None:
    sim = cluster(faults=[SimFault("probe", kind)])

    async def main() -> NodeInitializer:
        async with initializer(ASKED, sim) as node:
            try:
                await node.wait_for("ready")
            except InitializationFailed:
                assert kind == "permanent"
            await asyncio.sleep(0)
        return node

    node = run_virtual(main())
    assert sim.leftovers() == []
    assert node.state == ("failed" if kind == "permanent" else "released")
