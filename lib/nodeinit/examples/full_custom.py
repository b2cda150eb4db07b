"""Do everything yourself: bring the model and the placement group, and let nodeinit verify both.

With `run_init_node=False` nodeinit neither downloads nor reserves. Its promise stands all the same:
the node is ready only when every host of the group has the files that are at `model_source` here,
byte for byte, and when Ray confirms the group. What a callback does wrong, it hears of before an
engine starts.

The model goes to `model_source`, on every host, from `origin`, which may be whatever you can copy
from: here a directory.

Run it:         nodeinit run --example full_custom
Make it yours:  nodeinit examples full_custom > my_init.py
and in the config:

    model_loading_config: {model_id: my-model, model_source: /local/my-model}
    callback_config:
      callback_class: my_init:FullCustom
      callback_kwargs: {origin: /mnt/nfs/my-model}
    experimental_configs:
      nodeinit: {hook_deadline: 660}   # the copy happens in a hook
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from pathlib import Path
from typing import Any

import attrs
import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from nodeinit import CallbackCtx, LLMConfig, PermanentError, PlacementRequest

HOSTS = 2
GPUS_PER_HOST = 2
SECONDS = 600.0


class FullCustom:
    """Reserves first, then brings the model to exactly the hosts of the group."""

    def __init__(self, origin: str, timeout: float = SECONDS) -> None:
        self.origin = origin
        self.timeout = timeout
        self.group: PlacementGroup | None = None
        self.copies: list[Any] = []

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """All of it happens here. What it makes is known to `close` before anything can fail."""
        asked = ctx.llm_config
        bundles = [bundle.units() for bundle in PlacementRequest.from_config(asked).bundles]
        self.group = placement_group(bundles, strategy="PACK")
        try:
            async with asyncio.timeout(self.timeout):
                await self.group.ready()
                self.copies = [self._copy(i, asked.model_source) for i in range(len(bundles))]
                await asyncio.gather(*self.copies)
        except TimeoutError:
            raise PermanentError(f"not done within {self.timeout:g} s") from None
        return attrs.evolve(ctx, placement_group=self.group, run_init_node=False)

    def _copy(self, bundle: int, target: str) -> Any:
        """Begin to copy on the host of a bundle; of several on one host, the quickest counts."""
        there = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=bundle)
        task = ray.remote(num_cpus=0, scheduling_strategy=there)(bring)
        return task.remote(self.origin, target)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        """Failed or cancelled, also when `on_before_init` itself was: nobody else would do it."""
        self.close()

    def close(self) -> None:
        """End what is still copying, then give the group back. The model stays. Safe to repeat."""
        copies, self.copies = self.copies, []
        for copy in copies:
            ray.cancel(copy)
        if copies:
            ray.wait(copies, num_returns=len(copies), timeout=10)  # they clean up after themselves
        group, self.group = self.group, None
        if group is not None:
            # One that is removed while Ray is placing it can cost its GPUs for good.
            with contextlib.suppress(Exception):  # somebody else removed it
                group.wait(1)
            remove_placement_group(group)


def bring(origin: str, target: str) -> None:
    """Copy a model to this host, unless it is here. Nobody ever sees half of it at `target`."""
    if Path(target).exists():
        return
    scratch = Path(f"{target}.{uuid.uuid4().hex[:8]}")
    try:
        shutil.copytree(origin, scratch)
        scratch.rename(target)
    except OSError:
        if not Path(target).exists():  # else another bundle of this host was quicker
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def config(source: str) -> LLMConfig:
    """Two stages of two workers; the model goes to a directory beside `source`."""
    return LLMConfig(
        model_id="full-custom",
        model_source=f"{source}-copied",
        engine_kwargs={"tensor_parallel_size": 2, "pipeline_parallel_size": 2},
        callback=FullCustom,
        callback_kwargs={"origin": source},
        # A hook has a minute unless the config says otherwise, and this one copies a model.
        nodeinit={"hook_deadline": SECONDS + 60},
    )


def finish(config: LLMConfig) -> None:
    """The node was released: now the group can go."""
    config.get_or_create_callback().close()
