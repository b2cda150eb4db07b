"""Async where it should not be, and sync where it should not be."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from nodeinit import CallbackCtx
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

TWO_HOSTS = World((1, 1), tp=1, pp=2)
SECOND_PLAN = World((2, 2), acts=(Act(20, "kill", "a"),))


class Waits:
    """As it was meant."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(1)


@buggy("colour", "H5", twin=Waits)
class SleepsInAnAsyncHook(Waits):
    """`time.sleep` in an async hook stops the whole loop."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        time.sleep(1)  # noqa: ASYNC251


class WaitsOnASecondPlan:
    """As it was meant."""

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            await asyncio.sleep(1)


@buggy("colour", "H5", events=1, difficulty=2, shown_in=SECOND_PLAN, twin=WaitsOnASecondPlan)
class SleepsOnASecondPlan(WaitsOnASecondPlan):
    """Blocks the loop, but only before a second plan is followed."""

    def _back_off(self, attempt: int) -> None:
        time.sleep(attempt)

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            self._back_off(ctx.attempt)


class WaitsOnWorkers:
    """As it was meant."""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        if node_id != ctx.plan.hosts[0]:  # type: ignore[union-attr]
            await asyncio.sleep(0.1)


@buggy("colour", "H5", difficulty=3, shown_in=TWO_HOSTS, twin=WaitsOnWorkers)
class SleepsOnWorkers(WaitsOnWorkers):
    """Blocks the loop on the hosts that are not the engine's."""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        if node_id != ctx.plan.hosts[0]:  # type: ignore[union-attr]
            time.sleep(0.1)  # noqa: ASYNC251


class AwaitsItsPort:
    """As it was meant."""

    async def _port(self) -> int:
        return 7000

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        port = await self._port()
        return ctx.evolve(custom_data=ctx.custom_data.set("port", port))


@buggy("colour", "H8 H10 H3 H1", difficulty=2, twin=AwaitsItsPort)
class ForgetsToAwait(AwaitsItsPort):
    """Puts a future into `custom_data` in the place of what it will be."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        port = asyncio.ensure_future(self._port())
        await asyncio.sleep(0)
        return ctx.evolve(custom_data=ctx.custom_data.set("port", port))


@buggy("colour", "H3", twin=AwaitsItsPort)
class RunsALoopInTheLoop(AwaitsItsPort):
    """Calls `asyncio.run` for its helper from an async hook."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        helper = self._port()
        try:
            port = asyncio.run(helper)
        finally:
            helper.close()
        return ctx.evolve(custom_data=ctx.custom_data.set("port", port))


@buggy("colour", "H1", twin=AwaitsItsPort)
class YieldsItsAnswer(AwaitsItsPort):
    """`yield` where `return` was meant makes an async generator of the hook."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        yield ctx.evolve(custom_data=ctx.custom_data.set("port", await self._port()))


@buggy("colour", "H9 R4 H3", difficulty=3, twin=None)
class StartsATaskInASyncHook:
    """Starts a task from a sync hook, which in production runs in a thread without a loop."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        self.task = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(5)


@buggy("colour", "H3", events=1, difficulty=3, shown_in=SECOND_PLAN, twin=WaitsOnASecondPlan)
class ReadsAFutureTooSoon(WaitsOnASecondPlan):
    """Takes the result of a task that it has not awaited; the first time it is not asked for."""

    async def _look(self) -> str:
        await asyncio.sleep(1)
        return "there"

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            looking = asyncio.ensure_future(self._look())
            try:
                await asyncio.sleep(0.5)
                looking.result()
            finally:
                looking.cancel()
