"""Callbacks that do everything a hook may do, and that no check may therefore find fault with."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import datetime
from time import monotonic

import attrs
import ray

from nodeinit import CallbackCtx, PermanentError, PlacementRequest, TemporaryError
from nodeinit.errors import NoCapacityError


class Nothing:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        pass


class Patient:
    """Waits in every way that there is, and stops what it started."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        self.task = asyncio.create_task(asyncio.sleep(10_000))
        await asyncio.to_thread(time.sleep, 3)
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(5)
        except TimeoutError:
            pass
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
        return ctx.evolve(custom_data=ctx.custom_data.set("since", time.time()))

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        time.sleep(0.5)
        return attrs.evolve(ctx, worker_node_download_model="TOKENIZER_ONLY")

    async def on_after_init(self, ctx: CallbackCtx) -> None:
        started = time.monotonic()
        while time.monotonic() - started < 4:
            await asyncio.sleep(0.5)

    async def on_init_failed(self, ctx: CallbackCtx) -> None:
        if self.task is not None:
            self.task.cancel()


class Refuses:
    """Says what should happen next with the two errors that are for it."""

    def on_before_download(self, ctx: CallbackCtx) -> None:
        if ctx.attempt == 2:
            raise TemporaryError("not yet", delay=5)

    async def on_before_placement(self, ctx: CallbackCtx) -> None:
        if ctx.attempt == 3:
            raise PermanentError("enough")

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        if node_id == "c":
            raise TemporaryError("this host is not ready")
        return ctx.evolve(custom_data=ctx.custom_data.set(f"host-{node_id}", ctx.attempt))


class CleansUp:
    """Takes its time when it is cancelled, and lets the cancel go."""

    async def on_before_placement(self, ctx: CallbackCtx) -> None:
        try:
            await asyncio.sleep(8)
        finally:
            await asyncio.sleep(0.5)


class Juggles:
    """Cancels tasks of its own and times out before, during and after it is itself cancelled."""

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        for _ in range(3):
            child = asyncio.create_task(asyncio.sleep(1000))
            try:
                await asyncio.sleep(1)
            finally:
                child.cancel()
            try:
                await child
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
            try:
                async with asyncio.timeout(5):
                    await asyncio.sleep(1000)
            except TimeoutError:
                pass
        await asyncio.sleep(20)


class Asks:
    """Asks for another placement with each plan; counts plans, by the context."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        strategy = "SPREAD" if ctx.attempt % 2 else "PACK"
        request = PlacementRequest.from_config(ctx.llm_config)
        return ctx.evolve(
            placement_group=attrs.evolve(request, strategy=strategy),
            custom_data=ctx.custom_data.set("plans", ctx.attempt),
            extra_init_kwargs={**ctx.extra_init_kwargs, "seed": 7},
        )


class Spreads:
    """Under a loose pin Ray may then choose other hosts than the plan's."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        asked = PlacementRequest.from_config(ctx.llm_config)
        return attrs.evolve(ctx, placement_group=attrs.evolve(asked, strategy="SPREAD"))


class Async:
    """A plain function that hands on a coroutine, and jitter from a seeded generator."""

    def on_before_init(self, ctx: CallbackCtx) -> object:
        return self._later(ctx)

    async def _later(self, ctx: CallbackCtx) -> CallbackCtx:
        await asyncio.sleep(random.Random(3).random())
        return ctx.evolve(runtime_env={"env_vars": {"A": "1"}})


class Logs:
    """Looks at the clock, and tells when it began."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_before_download(self, ctx: CallbackCtx) -> None:
        self.lines.append(f"{datetime.now():%H:%M} {ctx.attempt}")

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        began = datetime.now()
        assert isinstance(began, datetime)
        data = {"began": began, "clock": round(monotonic(), 3)}
        return ctx.evolve(custom_data=ctx.custom_data.update(data))

    on_before_placement = on_after_init = on_init_failed = on_before_download


class RunsALoopOfItsOwn:
    """A plain function is in a thread, where it may run a loop of its own."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        async def ask() -> int:
            await asyncio.sleep(3)
            return 4

        return ctx.evolve(custom_data=ctx.custom_data.set("answer", asyncio.run(ask())))


class SaysThatThereIsNoRoom:
    """Looks for room itself, with the planner, and says so where there is none."""

    async def on_before_init(self, ctx: CallbackCtx) -> None:
        gpus = sum(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
        request = PlacementRequest.from_config(ctx.llm_config)
        if gpus < sum(bundle.units().get("GPU", 0) for bundle in request.bundles):
            raise NoCapacityError("too few GPUs")


ALL = (
    Nothing,
    Patient,
    Refuses,
    CleansUp,
    Juggles,
    Asks,
    Spreads,
    Async,
    Logs,
    RunsALoopOfItsOwn,
    SaysThatThereIsNoRoom,
)
