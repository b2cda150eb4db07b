"""A node that is ready and loses a host: it lets go first, and is not called ready meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from nodeinit import Policy
from nodeinit.clusters.simulated import SimFault
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import cluster, initializer, llm_config


@pytest.mark.parametrize(
    ("faults", "within"),
    [
        ((), 1.0),
        ((SimFault("remove", "slow", 0, seconds=60),), 6.0),
        ((SimFault("remove", "hang", 0),), 6.0),
        ((SimFault("remove", "crash", 0),), 1.0),
    ],
)
def test_a_lost_node_is_ready_no_longer_however_slow_its_group_goes(
    faults: tuple[SimFault, ...], within: float
) -> None:
    async def main() -> None:
        sim = cluster(8, 8, faults=faults)
        policy = Policy(seed=1, heal=True)
        async with initializer(llm_config(), sim, policy=policy) as node:
            await node.wait_for("ready")
            assert node.ctx.placement is not None
            (host,) = node.ctx.placement.hosts
            died = asyncio.get_running_loop().time()
            sim.kill_host(host)
            await asyncio.sleep(100)
            assert node.state == "ready" and node.ctx.placement.hosts != (host,)
            (lost,) = [step for step in node.steps if step.occurred.event == "lost"]
            assert lost.at - died < within
        assert sim.leftovers() == []

    run_virtual(main())
