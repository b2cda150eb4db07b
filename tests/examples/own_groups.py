"""Examples with groups of their own on a real Ray, one after another; prints what came of each.

A program of its own: a process has one Ray, and groups that are forgotten only show while it lives.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from nodeinit import CallbackCtx, CallbackSpec, InitializationFailed, LLMConfig, NodeInitializer
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.examples import custom_placement, full_custom
from nodeinit.examples.custom_placement import OwnGroup
from nodeinit.examples.full_custom import FullCustom
from nodeinit.ray.cluster import RayCluster


class FailsLater:
    """Comes after another callback, and fails when that one has its group."""

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        raise RuntimeError("too late to be sorry")


class ForgetsToCopy(FullCustom):
    """Says that it did everything, but brought no model."""

    def _copy(self, bundle: int, target: str) -> Any:
        return asyncio.sleep(0)

    def close(self) -> None:
        self.copies = []
        super().close()


class OneTooFew(OwnGroup):
    """Makes a group that is too small for the workers."""

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        smaller = ctx.llm_config.evolve(engine_kwargs={"pipeline_parallel_size": 1})
        changed = await super().on_before_init(attrs.evolve(ctx, llm_config=smaller))
        return attrs.evolve(ctx, placement_group=changed.placement_group)


class Bench:
    """The Ray, the store and the model that all cases share."""

    def __init__(self, directory: Path) -> None:
        self.cluster = RayCluster.simulated(hosts=2, gpus_per_host=2)
        self.model = str(make_tiny_model(directory / "model"))
        self.nodeinit = {"store": str(directory / "store")}

    async def case(
        self, config: LLMConfig, callbacks: Sequence[Any] = (), *, cancel: bool = False
    ) -> dict[str, Any]:
        """How a node of this config ends, and how many groups there are then and after `close`."""
        if callbacks:
            config = config.evolve(callback=list(callbacks))
        node = NodeInitializer(config.evolve(nodeinit=self.nodeinit), cluster=self.cluster)
        hosts = 0
        try:
            async with node:
                if cancel:
                    while not (await self.cluster.snapshot()).groups:
                        await asyncio.sleep(0.05)
                    await node.cancel()
                await node.wait_for("ready")
                assert node.ctx.placement is not None
                hosts = len(node.ctx.placement.hosts)
        except InitializationFailed:
            pass
        groups = await self.groups()
        node.callbacks[0].instance.close()
        return {
            "state": node.state,
            "reason": str(node.snapshot.reason),
            "hosts": hosts,
            "groups": groups,
            "groups after close": await self.groups(),
        }

    async def groups(self) -> int:
        """The number of groups, given a moment to go."""
        for _ in range(40):
            found = (await self.cluster.snapshot()).groups
            if not found:
                break
            await asyncio.sleep(0.05)
        return len(found)


async def main(directory: Path) -> dict[str, Any]:
    """What came of each case, by name."""
    bench = Bench(directory)
    own = custom_placement.config(bench.model)
    full = full_custom.config(bench.model)
    too_big = own.evolve(engine_kwargs={"pipeline_parallel_size": 5})
    elsewhere = full.evolve(model_source=str(directory / "nowhere"))
    impatient = CallbackSpec(OwnGroup, {"timeout": 1.0})
    forgetful = CallbackSpec(ForgetsToCopy, {"origin": bench.model})
    found = {
        "success": await bench.case(own),
        "a later failure": await bench.case(own, [OwnGroup(), FailsLater]),
        "no room": await bench.case(too_big, [impatient]),
        "a cancel in the hook": await bench.case(too_big, [OwnGroup()], cancel=True),
        "a group that is too small": await bench.case(own, [OneTooFew]),
        "everything of its own": await bench.case(full),
        "no model": await bench.case(elsewhere, [forgetful]),
    }
    await bench.cluster.close()
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    results = asyncio.run(main(place))
    results["left in the model's directory"] = sorted(entry.name for entry in place.iterdir())
    print(json.dumps(results))
