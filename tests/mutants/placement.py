"""What a callback asks for, or brings, that is not what the workers need."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
import ray.util
from ray.util.placement_group import PlacementGroup

from nodeinit import CallbackCtx, PermanentError, PlacementRequest
from nodeinit.clusters.simulated import SimFault
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

STAGES = World((8, 8), tp=1, pp=2)
UNEVEN = World((2, 2), tp=2, pp=2)
SECOND_PLAN = World((2, 2), acts=(Act(20, "kill", "a"),))
DISPLACED = World((4, 4), tp=2, pp=1, faults=(SimFault("reserve", "steal", 0, "a"),))
RACKS = World((2, 2), ({"rack": "r1"}, {"rack": "r2"}), acts=(Act(20, "kill", "a"),))


class Spreads:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        request = PlacementRequest.of(
            config.tensor_parallel_size, config.pipeline_parallel_size, strategy="SPREAD"
        )
        return ctx.evolve(placement_group=request)


@buggy("placement", "P1", difficulty=2, shown_in=STAGES, twin=Spreads)
class ForgetsThePipeline(Spreads):
    """Asks for the workers of one stage, however many there are."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        request = PlacementRequest.of(ctx.llm_config.tensor_parallel_size, strategy="SPREAD")
        return ctx.evolve(placement_group=request)


@buggy("placement", "P1 P8 H12", difficulty=3, shown_in=World((8, 8), tp=2), twin=Spreads)
class SwapsTheSizes(Spreads):
    """Gives the two sizes in the wrong order, which shows where they differ."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        request = PlacementRequest.of(
            config.pipeline_parallel_size, config.tensor_parallel_size, strategy="SPREAD"
        )
        return ctx.evolve(placement_group=request)


class PacksOntoOneHost:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return None


@buggy("placement", "P5 H3 H12", difficulty=2, shown_in=World((2,), tp=3), twin=None)
class FitsTheSumButNoGpu:
    """Shares GPUs by 0.6 of one for each worker: three are 1.8 of two GPUs, but no GPU holds two."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        workers = ctx.llm_config.tensor_parallel_size
        if workers < 3:
            return None
        return ctx.evolve(placement_group=PlacementRequest.of(workers, gpu=0.6))


@buggy("placement", "P7 H3 H12", difficulty=2, twin=PacksOntoOneHost)
class SpreadsStrictlyWithinATensor:
    """Asks for a host for each worker, also for those that must be on one host together."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        request = PlacementRequest.of(
            config.tensor_parallel_size, config.pipeline_parallel_size, strategy="STRICT_SPREAD"
        )
        return ctx.evolve(placement_group=request)


class AsksTheSameAgain:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        if ctx.attempt == 1:
            return None
        request = PlacementRequest.of(config.tensor_parallel_size, config.pipeline_parallel_size)
        return ctx.evolve(placement_group=request)


@buggy("placement", "P1", events=1, difficulty=3, shown_in=DISPLACED, twin=AsksTheSameAgain)
class AsksForHalfOnASecondPlan(AsksTheSameAgain):
    """Asks for half the workers once a plan failed, and tells nobody; the engine will want all."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        if ctx.attempt == 1:
            return None
        half = max(1, config.tensor_parallel_size // 2)
        request = PlacementRequest.of(half, config.pipeline_parallel_size)
        return ctx.evolve(placement_group=request)


@buggy(
    "placement",
    "P6 H12",
    events=1,
    difficulty=3,
    shown_in=World((1, 1, 1), tp=1, pp=2, acts=(Act(20, "kill", "a"),)),
    twin=AsksTheSameAgain,
)
class PacksStrictlyOnASecondPlan(AsksTheSameAgain):
    """Wants all on one host after a host was lost, where no host is large enough."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        if ctx.attempt == 1:
            return None
        request = PlacementRequest.of(
            config.tensor_parallel_size, config.pipeline_parallel_size, strategy="STRICT_PACK"
        )
        return ctx.evolve(placement_group=request)


class StaysInTheRack:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return None


@buggy("placement", "P3 P4 H12", events=1, difficulty=3, shown_in=RACKS, twin=StaysInTheRack)
class PinsTheRackOfItsFirstPlan:
    """Keeps the rack that the first plan fell into, when all hosts of it are gone."""

    rack: str | None = None

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        if ctx.attempt == 1:
            host = ctx.plan.hosts[0]  # type: ignore[union-attr]
            self.rack = next(n["Labels"].get("rack") for n in ray.nodes() if n["NodeID"] == host)
            return None
        if self.rack is None:
            return None
        request = PlacementRequest.of(
            config.tensor_parallel_size,
            config.pipeline_parallel_size,
            labels={"rack": self.rack},
        )
        return ctx.evolve(placement_group=request)


@buggy(
    "placement",
    "P4 P1",
    difficulty=3,
    shown_in=World(
        (8, 8),
        ({"ray.io/accelerator-type": "L4"}, {"ray.io/accelerator-type": "H100"}),
        fields={"accelerator_type": "H100"},
    ),
    twin=PacksOntoOneHost,
)
class DropsTheAcceleratorType:
    """Makes the request anew from the sizes, and forgets what kind of GPU the config asks for."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        request = PlacementRequest.of(config.tensor_parallel_size, config.pipeline_parallel_size)
        return ctx.evolve(placement_group=request)


class BringsGroup:
    """As it was meant."""

    group: PlacementGroup | None = None
    strategy = "STRICT_PACK"

    def _bundles(self, ctx: CallbackCtx) -> list[dict[str, float]]:
        config = ctx.llm_config
        return [{"GPU": 1}] * (config.tensor_parallel_size * config.pipeline_parallel_size)

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        self.group = ray.util.placement_group(self._bundles(ctx), self.strategy)
        try:
            async with asyncio.timeout(10):
                await self.group.ready()
        except TimeoutError:
            raise PermanentError("no room") from None
        return ctx.evolve(placement_group=self.group)

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        group, self.group = self.group, None
        if group is not None:
            ray.util.remove_placement_group(group)


@buggy("placement", "P1", difficulty=2, shown_in=STAGES, twin=BringsGroup)
class BringsAGroupForOneStage(BringsGroup):
    """Its group has a bundle for each worker of one stage."""

    def _bundles(self, ctx: CallbackCtx) -> list[dict[str, float]]:
        return [{"GPU": 1}] * ctx.llm_config.tensor_parallel_size


@buggy("placement", "P8 P6", difficulty=2, shown_in=World((8, 8)), twin=BringsGroup)
class BringsAGroupThatSplitsATensor(BringsGroup):
    """Spreads its group, also over workers that must be on one host."""

    strategy = "SPREAD"


@buggy("placement", "P2", events=0, difficulty=2, twin=BringsGroup)
class BringsAGroupThatIsPending(BringsGroup):
    """Hands its group over without waiting for it; where there is no room yet it has no hosts."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        blocker = ray.util.placement_group([{"GPU": 8}] * 2, "SPREAD")
        self.group = ray.util.placement_group(self._bundles(ctx), self.strategy)
        ray.util.remove_placement_group(blocker)
        return ctx.evolve(placement_group=self.group)


@buggy(
    "placement",
    "P1 P9 H3",
    difficulty=2,
    twin=BringsGroup,
)
class BringsBundlesOfCpus(BringsGroup):
    """Its bundles reserve CPUs; the GPUs of the workers are nobody's."""

    def _bundles(self, ctx: CallbackCtx) -> list[dict[str, float]]:
        config = ctx.llm_config
        return [{"CPU": 1}] * (config.tensor_parallel_size * config.pipeline_parallel_size)
