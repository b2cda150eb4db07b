"""Place the workers yourself: ask for another placement, or bring a placement group of your own.

`Spread` only changes what is asked for: nodeinit plans, reserves and gives back as always. That is
enough for most.

`OwnGroup` makes a Ray placement group and hands it over. nodeinit adopts it: it verifies the group
against the same rules as its own, and never removes it. Whoever made it removes it, so `OwnGroup`
does that when the initialization fails, and its owner calls `close()` when the node is released:

    ready = await initialize_node(config)
    try:
        ...
    finally:
        await ready.release()
        config.get_or_create_callback().close()

Run it:         nodeinit run --example custom_placement
Make it yours:  nodeinit examples custom_placement > my_placement.py
and in the config:

    callback_config: {callback_class: my_placement:OwnGroup}
"""

from __future__ import annotations

import asyncio
import contextlib

import attrs
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from nodeinit import CallbackCtx, LLMConfig, PermanentError, PlacementRequest

HOSTS = 2
GPUS_PER_HOST = 2


class Spread:
    """Asks for one host for each stage of the pipeline, instead of as few hosts as possible."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """Before anything is planned."""
        request = PlacementRequest.from_config(ctx.llm_config)
        spread = attrs.evolve(request, strategy="SPREAD")
        return attrs.evolve(ctx, placement_group=spread)


class OwnGroup:
    """Makes its own placement group, one bundle per worker, and answers for it to the end."""

    def __init__(self, strategy: str = "SPREAD", timeout: float = 30.0) -> None:
        self.strategy = strategy
        self.timeout = timeout
        self.group: PlacementGroup | None = None

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """Before anything is planned. What this makes is known to `close` before it can fail."""
        request = PlacementRequest.from_config(ctx.llm_config)
        bundles = [bundle.units() for bundle in request.bundles]
        # The workers of a tensor-parallel group belong on one host.
        strategy = self.strategy if request.tensor_parallel_size == 1 else "PACK"
        # No `await` stands between these two, so no cancel comes between them either.
        self.group = placement_group(bundles, strategy=strategy)
        try:
            async with asyncio.timeout(self.timeout):
                await self.group.ready()
        except TimeoutError:
            worker = ", ".join(f"{amount:g} {name}" for name, amount in bundles[0].items())
            asked = f"{len(bundles)} x {worker}, {strategy}"
            raise PermanentError(f"no room for {asked} within {self.timeout:g} s") from None
        return attrs.evolve(ctx, placement_group=self.group)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        """Failed or cancelled, also when `on_before_init` itself was: nobody else would do it."""
        self.close()

    def close(self) -> None:
        """Give the group back. Safe to repeat."""
        group, self.group = self.group, None
        if group is not None:
            # One that is removed while Ray is placing it can cost its GPUs for good.
            with contextlib.suppress(Exception):  # somebody else removed it
                group.wait(1)
            remove_placement_group(group)


def config(source: str) -> LLMConfig:
    """A pipeline of two stages, which `OwnGroup` puts on two hosts though they fit on one."""
    return LLMConfig(
        model_id="custom-placement",
        model_source=source,
        engine_kwargs={"pipeline_parallel_size": 2},
        callback=OwnGroup,
    )


def finish(config: LLMConfig) -> None:
    """The node was released: now the group can go."""
    config.get_or_create_callback().close()
