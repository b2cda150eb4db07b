"""Written from the families alone, to see what the kit finds that it was not made for."""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from typing import Any

import ray
import ray.util
from ray.util.placement_group import PlacementGroup

from nodeinit import CallbackCtx, PermanentError, PlacementRequest
from nodeinit.clusters.simulated import SimFault
from nodeinit.errors import NoCapacityError
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

LOST = World((2, 2), acts=(Act(20, "kill", "a"),))
THIRD_PLAN = World((2, 2, 2), acts=(Act(20, "kill", "a"), Act(50, "kill", "b")))
RACKS = ({"rack": "r1"}, {"rack": "r2"}, {"rack": "r2"})


def tagged(ctx: CallbackCtx, **data: Any) -> CallbackCtx:
    """The context with the callback's data added."""
    return ctx.evolve(custom_data=ctx.custom_data.update(data))


class KeepsTheRack:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(placement_group=PlacementRequest.from_config(ctx.llm_config))


@buggy(
    "placement",
    "P4",
    difficulty=3,
    shown_in=World((1, 1, 1), RACKS, tp=1, pp=2, fields={"nodeinit": {"topology": "rack"}}),
    twin=KeepsTheRack,
)
class LeavesTheRack:
    """Makes its request from the sizes alone, and forgets that all workers belong in one rack."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        request = PlacementRequest.of(config.tensor_parallel_size, config.pipeline_parallel_size)
        return ctx.evolve(placement_group=request)


@buggy("environment", "H12", difficulty=2, shown_in=World((1, 1), tp=1, pp=2))
class LooksForOneHost:
    """Says that there is no room where no single host has it; the stages could lie on two."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        workers = ctx.llm_config.tensor_parallel_size * ctx.llm_config.pipeline_parallel_size
        if max(node["Resources"].get("GPU", 0) for node in ray.nodes()) < workers:
            raise NoCapacityError("no host is large enough")


class TakesStock:
    """As it was meant."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        free = ray.available_resources().get("GPU", 0)
        return tagged(ctx, share=1 / free if free else 0.0)


@buggy("environment", "H3", difficulty=2, shown_in=World((2,)), twin=TakesStock)
class DividesByWhatIsFree(TakesStock):
    """Divides by the free GPUs: on a cluster that fits exactly there are none left."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        return tagged(ctx, share=1 / ray.available_resources().get("GPU", 0))


class WaitsABit:
    """As it was meant."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            await asyncio.sleep(2)


@buggy("colour", "H5", events=1, difficulty=2, shown_in=LOST, twin=WaitsABit)
class SleepsOnALaterPlan(WaitsABit):
    """Waits for the old replica with `time.sleep`, from the second plan on."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            time.sleep(3)  # noqa: ASYNC251


@buggy("colour", "H1", difficulty=2)
class MakesAGenerator:
    """`yield` instead of `return` makes a generator of the hook: nothing in it runs."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        yield tagged(ctx, run=1)


class Waits:
    """As it was meant."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(3)


@buggy("cancellation", "H6", events=1, shown_in=World(acts=(Act(1, "cancel"),)), twin=Waits)
class TurnsCancelIntoFailure(Waits):
    """Wraps whatever goes wrong, a cancel too, into an error of its own."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        try:
            await asyncio.sleep(3)
        except BaseException as error:
            raise PermanentError("the check before the start failed") from error


@buggy("cancellation", "R4", events=1, shown_in=World(acts=(Act(1, "cancel"),)), twin=Waits)
class ReportsItsEnd(Waits):
    """When it is cancelled, it starts a task that goes on to tell somebody."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            self.telling = asyncio.create_task(self._tell())
            raise

    async def _tell(self) -> None:
        await asyncio.sleep(60)


class HoldsAGroup:
    """As it was meant."""

    group: PlacementGroup | None = None

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if self.group is None:
            self.group = ray.util.placement_group([{"CPU": 1}], "PACK")

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        group, self.group = self.group, None
        if group is not None:
            ray.util.remove_placement_group(group)

    on_init_failed = on_after_init


@buggy(
    "leaks",
    "R2",
    events=1,
    difficulty=2,
    shown_in=World(faults=(SimFault("reserve", "permanent"),)),
    twin=HoldsAGroup,
)
class KeepsItWhenOthersFail(HoldsAGroup):
    """Gives its group back only when it was the placement that it had prepared that came up."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if ctx.placement is not None:
            self.on_after_init(ctx)


@buggy(
    "leaks",
    "R2",
    events=1,
    difficulty=3,
    shown_in=World((2, 2), faults=(SimFault("reserve", "steal", 0, "a"),)),
    twin=HoldsAGroup,
)
class ReservesForEachPlan(HoldsAGroup):
    """Takes a new group with every plan, and remembers the last."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.group = ray.util.placement_group([{"CPU": 1}], "PACK")


class Patient:
    """As it was meant."""

    calls = 0

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.calls += 1


@buggy("retry", "H3", events=2, difficulty=3, shown_in=THIRD_PLAN, twin=Patient)
class GivesUpItself(Patient):
    """Counts its calls and gives up at the third, with an error that nobody knows."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("giving up")


@buggy("liveness", "H4", difficulty=2)
class WaitsForTheOtherProcess:
    """Waits in the driver for what `on_node_download` sets, which another instance does."""

    def __init__(self) -> None:
        self.there = asyncio.Event()

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        self.there.set()

    async def on_after_init(self, ctx: CallbackCtx) -> Any:
        await self.there.wait()


class TellsWhatFailed:
    """As it was meant."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        self.hosts = ctx.placement.hosts if ctx.placement else ()


@buggy(
    "ordering",
    "H3",
    events=1,
    difficulty=2,
    shown_in=World(acts=(Act(3, "cancel"),)),
    twin=TellsWhatFailed,
)
class TellsOfAPlacement(TellsWhatFailed):
    """Names the hosts of the placement when it is cancelled while there is a plan; there may be none."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        self.hosts = ctx.placement.hosts if ctx.plan else ()  # type: ignore[union-attr]


class TakesItsPort:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", 7000))


@buggy("shared", "H10 H8", difficulty=2, shown_in=World(again=2), twin=TakesItsPort)
class CountsPortsOnTheClass(TakesItsPort):
    """Takes the next port of a counter that all instances share."""

    ports = itertools.count(7000)

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", next(self.ports)))


@functools.cache
def _leader(model: str, first: tuple[str, ...] = ()) -> list[str]:
    return []


@buggy("shared", "H3 H10", events=1, difficulty=3, shown_in=LOST)
class CachesItsLeader:
    """Keeps the first leader in a cached list of the module, for every node of the same model."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        leaders = _leader(ctx.llm_config.model_id)
        leaders += ctx.plan.hosts[:1]  # type: ignore[union-attr]
        return tagged(ctx, leader=ctx.nodes[leaders[0]].path)


class SetsItsShare:
    """As it was meant."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(
            extra_init_kwargs=ctx.extra_init_kwargs.set("gpu_memory_utilization", 0.6)
        )


@buggy("retry", "H8", events=1, difficulty=3, shown_in=LOST, twin=SetsItsShare)
class RaisesItsShare:
    """Raises the share of memory whenever it is asked, for a second try; but one may be asked again."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        share = ctx.extra_init_kwargs.get("gpu_memory_utilization", 0.5) + 0.1
        return ctx.evolve(
            extra_init_kwargs=ctx.extra_init_kwargs.set("gpu_memory_utilization", share)
        )
