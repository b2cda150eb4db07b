"""Callbacks with one bug each, and the check that is to find it (`EXPECTED`)."""

from __future__ import annotations

import asyncio
import random
import time

import attrs
import ray
from ray.util.placement_group import placement_group, remove_placement_group

from nodeinit import CallbackCtx, PermanentError, PlacementRequest
from nodeinit.errors import NoCapacityError


class ReturnsDict:
    def on_before_download(self, ctx: CallbackCtx) -> dict[str, str]:
        return {"worker_node_download_model": "NONE"}


class ForgetsToAwait:
    def on_after_init(self, ctx: CallbackCtx) -> object:
        async def inner() -> None:
            pass

        async def outer() -> object:
            return inner()

        return outer()


class Mutates:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        object.__setattr__(ctx, "attempt", 5)


class MutatesLater:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        self.ctx = ctx

    def on_after_init(self, ctx: CallbackCtx) -> None:
        object.__setattr__(self.ctx, "custom_data", {})


class RaisesOnTheSecondPlan:
    def on_before_download(self, ctx: CallbackCtx) -> None:
        if ctx.attempt == 2:
            raise KeyError("no such thing")


class RaisesOnAHost:
    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
        if node_id == "b":
            raise ValueError("only the first host has it")


class Hangs:
    async def on_before_placement(self, ctx: CallbackCtx) -> None:
        await asyncio.get_running_loop().create_future()


class Spins:
    def on_before_placement(self, ctx: CallbackCtx) -> None:
        while True:
            pass


class SpinsAsync:
    async def on_before_placement(self, ctx: CallbackCtx) -> None:
        while True:
            await asyncio.sleep(0)


class CancelsItself:
    async def on_before_init(self, ctx: CallbackCtx) -> None:
        raise asyncio.CancelledError


class Blocks:
    async def on_before_init(self, ctx: CallbackCtx) -> None:
        time.sleep(1)  # noqa: ASYNC251


class SwallowsCancel:
    async def on_before_download(self, ctx: CallbackCtx) -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            pass


class CleansUpForEver:
    async def on_before_download(self, ctx: CallbackCtx) -> None:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(100)


class ChangesTooLate:
    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        return attrs.evolve(ctx, worker_node_download_model="NONE")


class DropsWhatOthersWrote:
    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data={"mine": 1})


class AddsOnceMore:
    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        flags = (*ctx.extra_init_kwargs.get("flags", ()), "--fast")
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("flags", flags))


class NextPort:
    def __init__(self) -> None:
        self.port = 8000

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        self.port += 1
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", self.port))


class Rolls:
    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("dice", random.random()))


class CountsOnTheClass:
    seen = 0

    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
        CountsOnTheClass.seen += 1
        return ctx.evolve(custom_data=ctx.custom_data.set("seen", self.seen))


class AsksForTooFew:
    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(placement_group=PlacementRequest.of(1))


class HalfGPUs:
    """Its bundles have less than the workers need."""

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        workers = ctx.llm_config.tensor_parallel_size * ctx.llm_config.pipeline_parallel_size
        self.group = placement_group([{"GPU": 0.5}] * workers, strategy="PACK")
        await self._placed()
        return ctx.evolve(placement_group=self.group)

    async def _placed(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self.group.ready()
        except TimeoutError:
            raise PermanentError("no room") from None

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        if getattr(self, "group", None) is not None:
            remove_placement_group(self.group)


class LeaksItsGroup:
    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        workers = ctx.llm_config.tensor_parallel_size * ctx.llm_config.pipeline_parallel_size
        group = placement_group([{"GPU": 1}] * workers, strategy="PACK")
        if not group.wait(5):
            remove_placement_group(group)
            raise PermanentError("no room")
        return ctx.evolve(placement_group=group)


class RemovesOurGroup:
    def on_after_init(self, ctx: CallbackCtx) -> None:
        assert ctx.placement is not None
        remove_placement_group(ray.util.get_placement_group(ctx.placement.name))


class MakesRoom:
    """Removes somebody else's group when it did not fit."""

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        try:
            found = ray.util.get_placement_group("somebody-else")
        except ValueError:
            return
        remove_placement_group(found)


class LeavesATask:
    async def on_before_init(self, ctx: CallbackCtx) -> None:
        self.task = asyncio.create_task(self.beat())

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(10)


class SaysThatTheModelIsThere:
    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(60)
        except TimeoutError:
            raise RuntimeError("not copied") from None
        return ctx


class TurnsTheClusterAway:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        if len([node for node in ray.nodes() if node["Alive"]]) > 1:
            raise NoCapacityError("too crowded")


class ForgetsTheKind:
    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        config = ctx.llm_config
        sizes = config.tensor_parallel_size, config.pipeline_parallel_size
        return ctx.evolve(placement_group=PlacementRequest.of(*sizes))


class AsksForATensorApart:
    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        config = ctx.llm_config
        sizes = config.pipeline_parallel_size, config.tensor_parallel_size
        return ctx.evolve(placement_group=PlacementRequest.of(*sizes, strategy="SPREAD"))


class GivesItsGroupBackTooSoon:
    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        request = PlacementRequest.from_config(ctx.llm_config)
        self.group = placement_group([bundle.units() for bundle in request.bundles], "PACK")
        async with asyncio.timeout(5):
            await self.group.ready()
        return ctx.evolve(placement_group=self.group)

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        remove_placement_group(self.group)


class HandsOverWhatWaits:
    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        request = PlacementRequest.from_config(ctx.llm_config)
        bundles = [{**bundle.units(), "GPU": 1, "nowhere": 1} for bundle in request.bundles]
        self.group = placement_group(bundles, "PACK")
        return ctx.evolve(placement_group=self.group)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        if getattr(self, "group", None) is not None:
            remove_placement_group(self.group)


class AsksForNothing:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        placement_group([{}], "PACK")


class LosesItsTask:
    async def on_after_init(self, ctx: CallbackCtx) -> None:
        task = asyncio.create_task(asyncio.sleep(100_000))
        task.set_name("nobody keeps it")


EXPECTED: dict[type, str] = {
    ReturnsDict: "H1-return",
    ForgetsToAwait: "H1-return",
    Mutates: "H2-mutated",
    MutatesLater: "H2-mutated",
    RaisesOnTheSecondPlan: "H3-raised",
    RaisesOnAHost: "H3-raised",
    SaysThatTheModelIsThere: "H3-raised",
    Hangs: "H4-hang",
    Spins: "H4-hang",
    SpinsAsync: "H4-hang",
    CancelsItself: "H3-raised",
    Blocks: "H5-blocking",
    SwallowsCancel: "H6-cancel",
    CleansUpForEver: "H6-cancel",
    ChangesTooLate: "H7-readonly",
    DropsWhatOthersWrote: "H7-custom_data",
    AddsOnceMore: "H8-idempotent",
    NextPort: "H8-idempotent",
    Rolls: "H10-deterministic",
    CountsOnTheClass: "H10-deterministic",
    AsksForTooFew: "P1-bundles",
    HalfGPUs: "P1-bundles",
    RemovesOurGroup: "R1-ready",
    LeaksItsGroup: "R2-leak",
    MakesRoom: "R3-foreign",
    LeavesATask: "R4-tasks",
    LosesItsTask: "R4-tasks",
    TurnsTheClusterAway: "H12-refused",
    ForgetsTheKind: "P4-label",
    AsksForATensorApart: "P8-order",
    GivesItsGroupBackTooSoon: "R5-reserve",
    HandsOverWhatWaits: "P2-assign",
    AsksForNothing: "P9-nonempty",
}
