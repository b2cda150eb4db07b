"""The part of a replica that starts an engine, up to where the engine itself would begin.

An actor in a placement group that its children share, as Serve's replicas are; the calls are those
of Ray's `VLLMEngine.start`.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

import ray
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)


@ray.remote(num_cpus=0, max_concurrency=8)
class Replica:
    """`start` does what upstream does; the other methods look at what came of it."""

    def __init__(self, env: dict[str, str]) -> None:
        os.environ.update(env)

    async def start(self, config: Any) -> dict[str, Any]:
        """The calls of an engine's start, in its loop; answers what the engine would be given."""
        self._config = config
        callback = config.get_or_create_callback()
        await callback.run_callback("on_before_node_init")
        if callback.ctx.run_init_node:
            raise AssertionError("Ray would download the model now")
        await callback.run_callback("on_after_node_init")
        engine = config.get_engine_config()
        return {
            "path": engine.hf_model_id,
            "mirror": engine.mirror_config,
            "kwargs": engine.engine_kwargs,
            "group": callback.ctx.placement_group.id.hex(),
            "custom_data": callback.ctx.custom_data,
            "config": config.model_dump_json(fallback=str),
            "variables": sorted((callback.ctx.runtime_env or {}).get("env_vars", {})),
        }

    async def start_within(self, config: Any, seconds: float) -> str:
        """As `LLMServer.start` bounds it."""
        try:
            await asyncio.wait_for(self.start(config), seconds)
        except TimeoutError:
            return "timed out"
        return "started"

    async def ticks(self, seconds: float) -> int:
        """How often the loop comes round meanwhile."""
        count, until = 0, asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
            count += 1
        return count

    async def only_looks(self, config: Any) -> str:
        """Reads the callback, as a helper of a user might."""
        return type(config.get_or_create_callback()).__name__

    async def explain(self) -> str:
        node = self._config.get_or_create_callback().node
        return str(node.explain())

    async def pickled(self) -> str:
        """Sends the config on, as the engine's start does with its task on a GPU."""
        other = ray.remote(num_cpus=0)(_node_of).remote(self._config)
        return str(await other)

    async def engine_state(self) -> tuple[Any, Any]:
        engine = self._config.get_engine_config()
        return engine.hf_model_id, engine.mirror_config


def _node_of(config: Any) -> str:
    return repr(config.get_or_create_callback().node)


def replica(group: Any, env: dict[str, str]) -> Any:
    """A replica in the first bundle of a group, or on a host; detached, as Serve's are."""
    life = {"lifetime": "detached", "name": f"replica-{uuid.uuid4().hex}"}
    if isinstance(group, str):
        there = NodeAffinitySchedulingStrategy(group, soft=False)
        return Replica.options(scheduling_strategy=there, **life).remote(env)
    strategy = PlacementGroupSchedulingStrategy(
        placement_group=group,
        placement_group_bundle_index=0,
        placement_group_capture_child_tasks=True,
    )
    return Replica.options(scheduling_strategy=strategy, **life).remote(env)
