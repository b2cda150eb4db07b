"""Bringing a node up through the public API, on a simulated cluster in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodeinit import InitializationFailed, LLMConfig, NodeInitializer, Policy, SimCluster
from nodeinit.clusters.simulated import SimFault, sim_host
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.testing.virtual_time import run_virtual


def llm_config(callback: Any = None, **fields: Any) -> LLMConfig:
    fields.setdefault("model_source", "/models/sim")
    fields.setdefault("engine_kwargs", {"tensor_parallel_size": 2})
    return LLMConfig(model_id="sim/model", callback=callback, **fields)


def cluster(*gpus: int, faults: Sequence[SimFault] = ()) -> SimCluster:
    hosts = [sim_host(n, GPU=g, CPU=32) for n, g in zip("abcdefgh", gpus or (8, 8), strict=False)]
    return SimCluster(hosts, faults=faults, latency=0.001, bandwidth=1e9)


def initializer(
    config: LLMConfig, sim: SimCluster | None = None, **options: Any
) -> NodeInitializer:
    options.setdefault("policy", Policy(seed=1))
    options.setdefault("executor", InlineExecutor())
    return NodeInitializer(config, cluster=sim or cluster(), name="node", **options)


def bring_up(
    callback: Any = None, *, sim: SimCluster | None = None, **options: Any
) -> NodeInitializer:
    """Bring a node up with a callback, release it, and return it; a failure is in its snapshot."""
    config = options.pop("config", None) or llm_config(callback)

    async def main() -> NodeInitializer:
        async with initializer(config, sim, **options) as node:
            try:
                await node.wait_for("ready")
            except InitializationFailed:
                pass
        return node

    return run_virtual(main())


def states(node: NodeInitializer) -> list[str]:
    return [s.after.state for s in node.steps if s.before.state != s.after.state]
