"""Callbacks that are played on a real Ray and in memory."""

from __future__ import annotations

import asyncio

from ray.util import placement_group, remove_placement_group

from nodeinit import CallbackCtx, PermanentError, PlacementRequest


class Nothing:
    """Only looks on."""

    def on_before_init(self, ctx: CallbackCtx) -> None:
        return None


class OwnGroup:
    """Brings a group of its own, and sees to it that it goes again."""

    def __init__(self, strategy: str = "STRICT_PACK", gpu: float = 1, patience: float = 4) -> None:
        self.strategy, self.gpu, self.patience = strategy, gpu, patience
        self.group: object | None = None

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        config = ctx.llm_config
        workers = config.tensor_parallel_size * config.pipeline_parallel_size
        self.group = placement_group([{"GPU": self.gpu}] * workers, strategy=self.strategy)
        try:
            async with asyncio.timeout(self.patience):
                await self.group.ready()  # type: ignore[attr-defined]
        except TimeoutError:
            raise PermanentError("no room for a group of one's own") from None
        return ctx.evolve(placement_group=self.group)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        self.close()

    def close(self) -> None:
        group, self.group = self.group, None
        if group is not None:
            remove_placement_group(group)


class HandsOverAtOnce(OwnGroup):
    """Does not wait for its group: nodeinit does."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:  # type: ignore[override]
        config = ctx.llm_config
        workers = config.tensor_parallel_size * config.pipeline_parallel_size
        self.group = placement_group([{"GPU": self.gpu}] * workers, strategy=self.strategy)
        return ctx.evolve(placement_group=self.group)


class Asks:
    """Asks for another placement than the config: spread, or a share of a GPU for each worker.

    Tensor-parallel workers have no shares: two of them may not meet on one GPU.
    """

    def __init__(self, gpu: float = 1, strategy: str = "PACK") -> None:
        self.gpu, self.strategy = gpu, strategy

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        config = ctx.llm_config
        request = PlacementRequest.of(
            config.tensor_parallel_size,
            config.pipeline_parallel_size,
            gpu=self.gpu if config.tensor_parallel_size == 1 else 1,
            strategy=self.strategy,
        )
        return ctx.evolve(placement_group=request)


class Fails:
    """Fails in one of its hooks."""

    def __init__(self, hook: str = "on_after_init") -> None:
        self.hook = hook

    def _at(self, hook: str) -> None:
        if hook == self.hook:
            raise PermanentError("a bug of the user's")

    def on_before_init(self, ctx: CallbackCtx) -> None:
        self._at("on_before_init")

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        self._at("on_before_download")

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        self._at("on_before_placement")

    async def on_after_init(self, ctx: CallbackCtx) -> None:
        self._at("on_after_init")
