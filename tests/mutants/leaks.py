"""What a hook starts or takes and does not end or give back."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
import ray.util
from ray.util.placement_group import PlacementGroup

from nodeinit import CallbackCtx, PermanentError, TemporaryError
from nodeinit.clusters.simulated import SimFault
from tests.mutants.cancellation import StopsItsTask
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

CANCELLED = World(acts=(Act(3, "cancel"),))
LATE_CANCEL = World(acts=(Act(7.5, "cancel"),))
DISPLACED = World((2, 2), faults=(SimFault("reserve", "steal", 0, "a"),))
TWO_HOSTS = World((1, 1), tp=1, pp=2)


async def beat() -> None:
    """A heartbeat."""
    while True:
        await asyncio.sleep(5)


@buggy("leaks", "R4", events=1, shown_in=CANCELLED, twin=None)
class BeatsForEver:
    """Starts a heartbeat and never stops it."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.task = asyncio.create_task(beat())


@buggy("leaks", "R4", events=1, difficulty=2, shown_in=CANCELLED, twin=StopsItsTask)
class StopsOnlyWhenReady(StopsItsTask):
    """Stops its heartbeat in `on_after_init`, which a node that fails does not come to."""

    async def on_init_failed(self, ctx: CallbackCtx) -> Any: ...


@buggy("leaks", "R4", events=1, difficulty=3, shown_in=DISPLACED, twin=StopsItsTask)
class ForgetsTheOlderTask(StopsItsTask):
    """Starts a heartbeat for each plan and stops the last one."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.task = asyncio.create_task(self._beat())


class ProbesHosts:
    """As it was meant."""

    async def _probe(self, ctx: CallbackCtx, node_id: str) -> None:
        if node_id == ctx.plan.hosts[1]:  # type: ignore[union-attr]
            raise PermanentError("no answer")
        await asyncio.sleep(25)

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if len(ctx.plan.hosts) > 1:  # type: ignore[union-attr]
            try:
                async with asyncio.TaskGroup() as group:
                    for node_id in ctx.plan.hosts:  # type: ignore[union-attr]
                        group.create_task(self._probe(ctx, node_id))
            except* PermanentError as errors:
                raise errors.exceptions[0] from None


@buggy("leaks", "R4", difficulty=2, shown_in=TWO_HOSTS, twin=ProbesHosts)
class GathersAndGoes(ProbesHosts):
    """`gather` raises the first failure and leaves the other probes running."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if len(ctx.plan.hosts) > 1:  # type: ignore[union-attr]
            await asyncio.gather(*(self._probe(ctx, n) for n in ctx.plan.hosts))  # type: ignore[union-attr]


@buggy("leaks", "R4", events=1, difficulty=2, shown_in=LATE_CANCEL, twin=None)
class LeavesWhatIsPending:
    """`asyncio.wait` with a timeout cancels nothing: what is pending stays so."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        probes = {asyncio.create_task(beat()) for _ in ctx.nodes}
        _, self.pending = await asyncio.wait(probes, timeout=1)


class OwnsGroup:
    """As it was meant."""

    group: PlacementGroup | None = None

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        workers = config.tensor_parallel_size * config.pipeline_parallel_size
        self.group = ray.util.placement_group([{"GPU": 1}] * workers, "PACK")
        try:
            async with asyncio.timeout(10):
                await self.group.ready()
        except TimeoutError:
            raise PermanentError("no room") from None
        await asyncio.sleep(1)
        return ctx.evolve(placement_group=self.group)

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        group, self.group = self.group, None
        if group is not None:
            ray.util.remove_placement_group(group)


@buggy(
    "leaks",
    "R2",
    events=1,
    difficulty=3,
    shown_in=World(acts=(Act(0.1, "cancel"),)),
    twin=OwnsGroup,
)
class RemembersItsGroupTooLate(OwnsGroup):
    """Keeps the group only once it is ready: a cancel while it waits leaves it behind."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        config = ctx.llm_config
        workers = config.tensor_parallel_size * config.pipeline_parallel_size
        group = ray.util.placement_group([{"GPU": 1}] * workers, "PACK")
        try:
            async with asyncio.timeout(10):
                await group.ready()
        except TimeoutError:
            ray.util.remove_placement_group(group)
            raise PermanentError("no room") from None
        await asyncio.sleep(1)
        self.group = group
        return ctx.evolve(placement_group=group)


@buggy(
    "leaks",
    "R2",
    events=1,
    difficulty=2,
    shown_in=World(faults=(SimFault("manifest", "permanent"),)),
    twin=OwnsGroup,
)
class CleansUpOnlyItsOwnFailures(OwnsGroup):
    """Removes its group when it fails itself, but not when the model cannot be read afterwards."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        try:
            return await super().on_before_init(ctx)
        except BaseException:
            await super().on_init_failed(ctx)
            raise

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        self.group = None


class KeepsASpare:
    """As it was meant."""

    spare: PlacementGroup | None = None
    tries = 0

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if self.spare is None:
            self.spare = ray.util.placement_group([{"GPU": 1}], "PACK")
        self.tries += 1
        if self.tries == 1:
            raise TemporaryError("the fabric is not up yet")

    async def on_after_init(self, ctx: CallbackCtx) -> Any:
        spare, self.spare = self.spare, None
        if spare is not None:
            ray.util.remove_placement_group(spare)

    on_init_failed = on_after_init


@buggy("leaks", "R2", difficulty=3, shown_in=World((8, 8), tp=1), twin=KeepsASpare)
class TakesASpareForEachTry(KeepsASpare):
    """Takes a spare GPU before each try, and gives back the one of the last."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.spare = None
        await super().on_before_placement(ctx)


@buggy(
    "leaks",
    "R3",
    events=1,
    difficulty=2,
    shown_in=World(faults=(SimFault("manifest", "permanent"),)),
    twin=OwnsGroup,
)
class RemovesWhateverIsThere(OwnsGroup):
    """When it failed, it removes all groups of the cluster to be sure, those of others too."""

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        for seen in ray.util.placement_group_table().values():
            ray.util.remove_placement_group(ray.util.get_placement_group(seen["name"]))


@buggy("leaks", "R1 R3", difficulty=2, twin=None)
class RemovesTheNodesOwnGroup:
    """Takes the group that the node was just given for a leftover of an earlier run."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        group = ray.util.get_placement_group(ctx.placement.name)  # type: ignore[union-attr]
        ray.util.remove_placement_group(group)
