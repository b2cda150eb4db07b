"""Plans that leave Ray a choice: what it chose is followed, or refused, and nothing is left."""

from __future__ import annotations

import pytest

from nodeinit import InitializationFailed, NodeInitializer
from nodeinit.placement.topology import Pin
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import cluster, initializer, llm_config, states


def brought_up(gpus: tuple[int, ...], tp: int, pp: int, pin: Pin, **fields: str) -> NodeInitializer:
    """A node on hosts with so many GPUs each, once it is ready or has failed."""
    sizes = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp}
    config = llm_config(engine_kwargs=sizes, nodeinit={"pin": pin.value})

    async def main() -> NodeInitializer:
        async with initializer(config, sim := cluster(*gpus)) as node:
            try:
                await node.wait_for("ready")
            except InitializationFailed:
                assert sim.leftovers() == []
        assert sim.leftovers() == []
        return node

    return run_virtual(main())


@pytest.mark.parametrize(("pin", "host"), [(Pin.NODE, "a"), (Pin.HOSTS, "a"), (Pin.NONE, "b")])
def test_ray_chooses_as_freely_as_it_may(pin: Pin, host: str) -> None:
    # The planner takes the tightest host, Ray by itself the emptiest.
    node = brought_up((2, 8), tp=2, pp=1, pin=pin)
    assert node.state == "released"
    assert node.ctx.placement is not None
    assert node.ctx.placement.node_ids == (host, host)


def test_the_model_follows_where_ray_put_the_workers_and_the_pin_gets_tighter() -> None:
    node = brought_up((2, 8), tp=2, pp=1, pin=Pin.NONE)
    assert states(node)[:6] == ["config", "download", "placement", "download", "placement", "ready"]
    assert node.ctx.plan is not None
    assert (node.ctx.plan.node_ids, node.ctx.plan.pin) == (("b", "b"), Pin.HOSTS)
    assert set(node.ctx.nodes) == {"b"}
    (displaced,) = [step for step in node.steps if step.occurred.event == "displaced"]
    assert displaced.before.held == ()  # what Ray chose first was given back before
    assert "Ray chose hosts that lack the model: host-b" in str(displaced.occurred.reason)


def test_a_choice_that_breaks_a_rule_is_not_followed() -> None:
    # Ray fills c, the emptiest, with three workers, and splits the second pair.
    node = brought_up((2, 2, 3), tp=2, pp=2, pin=Pin.NONE)
    assert node.state == "failed"
    assert "Ray's own choice of hosts: tp_groups_whole" in str(node.snapshot.reason)
    assert "displaced" not in {step.occurred.event for step in node.steps}


def test_a_choice_among_the_planned_hosts_is_judged_by_the_rules() -> None:
    node = brought_up((3, 3), tp=2, pp=2, pin=Pin.HOSTS)
    assert node.state == "failed"
    assert "tp_groups_whole" in str(node.snapshot.reason)


def test_ray_is_followed_no_more_often_than_there_are_new_plans() -> None:
    config = llm_config(nodeinit={"replans": 0, "pin": "none"})

    async def main() -> NodeInitializer:
        sim = cluster(2, 8)
        node = NodeInitializer(config, cluster=sim, name="node")
        async with node:
            with pytest.raises(InitializationFailed, match="lack the model: host-b"):
                await node.wait_for("ready")
            assert sim.leftovers() == []
        return node

    assert run_virtual(main()).state == "failed"
