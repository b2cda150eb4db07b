"""What is remembered is what would be made: plans, snapshots, contexts, what a config stands for."""

from __future__ import annotations

import asyncio
import pickle

import attrs

from nodeinit import CallbackCtx, LLMConfig
from nodeinit.clusters.sim_parts import seen, sim_host, snapshot_of
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle
from nodeinit.testing.remembering import RememberingExecutor
from tests.testing import correct


def test_a_plan_is_made_once_and_is_the_planners() -> None:
    hosts = (sim_host("a", GPU=4), sim_host("b", GPU=8))
    request = PlacementRequest.of(2, 2)
    full = snapshot_of((seen(hosts[0], (Bundle.of(GPU=4),), True), hosts[1]), ())
    executor = RememberingExecutor()

    async def asked(*args: object) -> object:
        return await executor.call(plan, *args)

    for snapshot in (snapshot_of(hosts, ()), full, snapshot_of(hosts[:1], ())):
        found = asyncio.run(asked(request, snapshot))
        assert found == plan(request, snapshot)
        assert found is asyncio.run(asked(PlacementRequest.of(2, 2), snapshot))
    assert 0 == full.hosts[0].free("GPU")
    assert not seen(hosts[0], (), False).alive


def test_a_context_evolves_as_attrs_does_it() -> None:
    ctx = CallbackCtx(llm_config=LLMConfig(model_id="m", callback=correct.Nothing))
    changes = {"custom_data": {"a": [1]}, "worker_node_download_model": "none", "attempt": 2}

    assert attrs.evolve(ctx, **changes) == ctx.evolve(**changes)
    assert hash(attrs.evolve(ctx, **changes)) == hash(ctx.evolve(**changes))
    assert pickle.loads(pickle.dumps(ctx.evolve(**changes))) == ctx.evolve(**changes)


def test_what_a_config_remembers_does_not_travel_wrong() -> None:
    config = LLMConfig(model_id="m", callback=correct.Nothing, nodeinit={"pin": "none"})
    bare, settings = config.without_callbacks(), config.nodeinit
    again = pickle.loads(pickle.dumps(config))
    other = config.evolve(nodeinit={"pin": "node"})

    assert bare is config.without_callbacks()
    assert (bare.callbacks, bare.nodeinit) == ((), settings)
    assert (again, again.nodeinit) == (config, settings)
    assert ("none", "node") == (config.nodeinit.pin, other.nodeinit.pin)
    assert PlacementRequest.from_config(other) != PlacementRequest.from_config(config)
