"""Callbacks without a bug, of as many kinds as there are: none of them may be reported."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable

import attrs
import ray
import ray.util
from ray.util.placement_group import PlacementGroup

from nodeinit import (
    CallbackCtx,
    NodeModelDownloadable,
    PermanentError,
    PlacementRequest,
    TemporaryError,
)
from tests.mutants.registry import correct


@correct()
class Observes:
    """Every hook, and none of them changes anything."""

    def on_before_init(self, ctx: CallbackCtx) -> None: ...

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx

    async def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        return attrs.evolve(ctx)

    async def on_after_init(self, ctx: CallbackCtx) -> None: ...

    async def on_init_failed(self, ctx: CallbackCtx) -> None: ...

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None: ...


@correct()
class TokenizerForWorkers:
    """Changes what is its own to change, in time, with a member and with a name."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(worker_node_download_model="tokenizer_only")

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        mode = NodeModelDownloadable.EXCLUDE_SAFETENSORS
        return ctx.evolve(local_node_download_model=mode, runtime_env={"env_vars": {"A": "1"}})


@correct(seconds=0.5)
class WaitsInSlots:
    """Async throughout, with slots."""

    __slots__ = ("hosts", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.hosts: tuple[str, ...] = ()

    async def on_before_init(self, ctx: CallbackCtx) -> None:
        await asyncio.sleep(self.seconds)

    async def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        await asyncio.sleep(self.seconds)
        assert ctx.plan is not None
        self.hosts = ctx.plan.hosts
        return ctx.evolve(custom_data=ctx.custom_data.set("slots.hosts", self.hosts))


@correct(port=7100, tags=("blue", "green"))
@attrs.frozen
class FrozenSettings:
    """A frozen class with settings, no state at all."""

    port: int
    tags: tuple[str, ...] = ()

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        added = {"port": self.port + ctx.attempt, "tags": list(self.tags)}
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.update(added))


@correct()
class NeedsASecondTry:
    """Asks for another try while something is not up yet."""

    def __init__(self) -> None:
        self.tries = 0

    def on_before_download(self, ctx: CallbackCtx) -> None:
        self.tries += 1
        if self.tries == 1:
            raise TemporaryError("the registry is busy", delay=2)


@correct(least=2)
class RefusesSmallNodes:
    """Gives up, with a reason, on what it was not made for."""

    def __init__(self, least: int) -> None:
        self.least = least

    async def on_before_init(self, ctx: CallbackCtx) -> None:
        if ctx.llm_config.tensor_parallel_size < self.least:
            raise PermanentError(f"needs at least {self.least} GPUs")


@correct()
class AsksForSpread:
    """Another strategy for the workers that the config asks for."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        request = PlacementRequest.from_config(ctx.llm_config)
        return ctx.evolve(placement_group=attrs.evolve(request, strategy="SPREAD"))


@correct()
class AsksAgainBeforePlacement:
    """Sets, late but in time, the request that the config stands for."""

    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(placement_group=PlacementRequest.from_config(ctx.llm_config))


@correct()
class BringsItsGroup:
    """A group of its own, known before the first wait, removed when it comes to nothing."""

    def __init__(self) -> None:
        self.group: PlacementGroup | None = None

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        request = PlacementRequest.from_config(ctx.llm_config)
        bundles = [bundle.units() for bundle in request.bundles]
        packed = "STRICT_PACK" if request.pipeline_parallel_size == 1 else "PACK"
        self.group = ray.util.placement_group(bundles, packed)
        try:
            async with asyncio.timeout(20):
                await self.group.ready()
        except TimeoutError:
            raise PermanentError("there is no room for the group") from None
        return ctx.evolve(placement_group=self.group)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        group, self.group = self.group, None
        if group is not None:
            ray.util.remove_placement_group(group)


@correct()
class Beats:
    """A task of its own, one at a time, ended whichever way the node goes."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.beats = 0

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.beats += 1

    async def _stop(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        await self._stop()
        self.task = asyncio.create_task(self._beat())

    async def on_after_init(self, ctx: CallbackCtx) -> None:
        await self._stop()

    async def on_init_failed(self, ctx: CallbackCtx) -> None:
        await self._stop()


@correct()
class HearsFromHosts:
    """Each host writes under a key of its own; the driver sums up."""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        await asyncio.sleep(0.1)
        return ctx.evolve(custom_data=ctx.custom_data.set(f"room-{node_id}", len(node_id)))

    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        rooms = [ctx.custom_data[f"room-{node_id}"] for node_id in ctx.nodes]
        return ctx.evolve(custom_data=ctx.custom_data.set("room", sum(rooms)))


@correct()
class DrawsItsPortOnce:
    """State on `self`: drawn from a seed that is the instance's, and the same for every plan."""

    def __init__(self) -> None:
        self.port: int | None = None
        self._ports = itertools.count(7000)

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        if self.port is None:
            self.port = next(self._ports)
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", self.port))


def first_of(hosts: tuple[str, ...]) -> str:
    """The host that leads."""
    return hosts[0]


@correct(leader=first_of)
class TakesAFunction:
    """A function among its arguments decides."""

    def __init__(self, leader: Callable[[tuple[str, ...]], str]) -> None:
        self.leader = leader

    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        assert ctx.plan is not None
        return ctx.evolve(custom_data=ctx.custom_data.set("leader", self.leader(ctx.plan.hosts)))


@correct()
class FallsBack:
    """Waits for an answer within a time, and goes on without."""

    async def _ask(self) -> str:
        await asyncio.sleep(100)
        return "an answer"

    async def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        try:
            async with asyncio.timeout(2):
                answer = await self._ask()
        except TimeoutError:
            answer = "none"
        return ctx.evolve(custom_data=ctx.custom_data.set("answer", answer))


@correct()
class ProbesTogether:
    """Asks all hosts side by side; what it started has ended when it answers, or is cancelled."""

    async def _probe(self, node_id: str) -> int:
        await asyncio.sleep(len(node_id))
        return len(node_id)

    async def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        async with asyncio.TaskGroup() as group:
            tasks = {n: group.create_task(self._probe(n)) for n in sorted(ctx.nodes)}
        found = {node_id: task.result() for node_id, task in tasks.items()}
        return ctx.evolve(custom_data=ctx.custom_data.set("probes", found))


def _mark(ctx: CallbackCtx, *, with_what: str) -> CallbackCtx:
    return ctx.evolve(custom_data=ctx.custom_data.set("mark", with_what))


async def _mark_later(with_what: str, ctx: CallbackCtx) -> CallbackCtx:
    await asyncio.sleep(0.1)
    return _mark(ctx, with_what=with_what)


@correct()
class PutTogether:
    """Hooks that are no methods: partials and lambdas, one of them of an async function."""

    def __init__(self) -> None:
        self.on_before_init = functools.partial(_mark, with_what="first")
        self.on_before_download = functools.partial(_mark_later, "second")
        self.on_after_init = lambda ctx: _mark_later("third", ctx)


@correct()
class CleansUpWhenCancelled:
    """Does what has to be done when it is cancelled, quickly, and stays cancelled."""

    def __init__(self) -> None:
        self.open = 0

    async def on_before_init(self, ctx: CallbackCtx) -> None:
        self.open += 1
        try:
            await asyncio.sleep(3)
        finally:
            self.open -= 1
            await asyncio.sleep(0.01)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        if self.open:
            raise PermanentError("something is still open")


@correct()
class UsesItsOwnKeys:
    """Adds, changes and drops keys of its own, and leaves those of others."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("mine.scratch", [1, 2]))

    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        scratch = ctx.custom_data.get("mine.scratch", ())  # a healed node comes here once more
        return ctx.evolve(custom_data=ctx.custom_data.set("mine.scratch", [*scratch, 3]))

    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.discard("mine.scratch"))
