"""Somebody cancels while a hook waits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from nodeinit import CallbackCtx, PermanentError
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

IN_INIT = World(acts=(Act(0.5, "cancel"),))
IN_INIT_LATER = World(acts=(Act(1.5, "cancel"),))
IN_PLACEMENT = World(acts=(Act(8.0, "cancel"),))
TWO_HOSTS = World((1, 1), tp=1, pp=2, acts=(Act(8.0, "cancel"),))


class Polls:
    """As it was meant."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        polls = 0
        while polls < 4:
            try:
                await asyncio.sleep(1)
                polls += 1
            except OSError:
                await asyncio.sleep(40)


@buggy("cancellation", "H6 R4", events=1, difficulty=2, shown_in=IN_INIT, twin=Polls)
class BacksOffFromACancel:
    """`except BaseException` in its polling loop takes a cancel for a poll that failed."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        polls = 0
        while polls < 4:
            try:
                await asyncio.sleep(1)
                polls += 1
            except BaseException:
                await asyncio.sleep(40)


class TriesWithPatience:
    """As it was meant."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        for patience in (1, 40):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await asyncio.sleep(20)
                    return


@buggy("cancellation", "H6 R4", events=1, difficulty=2, shown_in=IN_INIT, twin=TriesWithPatience)
class TakesCancelForATimeout(TriesWithPatience):
    """Waits again on `TimeoutError` and, since they look alike, on `CancelledError`."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        for patience in (1, 40):
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(patience):
                    await asyncio.sleep(20)
                    return


class CleansUp:
    """As it was meant."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(20)


@buggy("cancellation", "H6 R4", events=1, difficulty=3, shown_in=IN_PLACEMENT, twin=CleansUp)
class DrainsForEver:
    """In `finally` it waits for a queue to be drained, whose consumer a cancel has stopped."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue()
        queue.put_nowait(1)
        try:
            await asyncio.sleep(20)
            queue.get_nowait()
            queue.task_done()
        finally:
            await queue.join()


@buggy("cancellation", "R4", events=1, difficulty=2, shown_in=IN_PLACEMENT, twin=CleansUp)
class ShieldsItsWork(CleansUp):
    """Shields its work from a cancel, and then nobody waits for it or stops it."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        await asyncio.shield(super().on_before_placement(ctx))


@buggy("cancellation", "H6 R4", events=1, difficulty=3, shown_in=TWO_HOSTS, twin=CleansUp)
class ForgivesEachHost(CleansUp):
    """Suppresses what goes wrong with one host, a cancel too, and goes on with the next."""

    async def on_before_placement(self, ctx: CallbackCtx) -> Any:
        for _ in ctx.plan.hosts:  # type: ignore[union-attr]
            with contextlib.suppress(BaseException):
                await asyncio.sleep(20 / len(ctx.nodes))


class StopsItsTask:
    """As it was meant."""

    task: asyncio.Task[None] | None = None

    async def on_before_download(self, ctx: CallbackCtx) -> Any:
        await self._stop()
        self.task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1)

    async def on_after_init(self, ctx: CallbackCtx) -> Any:
        await self._stop()

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        await self._stop()

    async def _stop(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


@buggy(
    "cancellation",
    "H4 R4",
    events=1,
    difficulty=2,
    shown_in=World(acts=(Act(3, "cancel"),)),
    twin=StopsItsTask,
)
class JoinsWithoutCancelling(StopsItsTask):
    """When it failed, waits for its endless task to come to an end, without telling it to."""

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if self.task is not None:
            await self.task


@buggy("cancellation", "H3", twin=Polls)
class CancelsItself(Polls):
    """Cancels the task that it runs in, as a way to give up."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


class PreparesTwice:
    """As it was meant."""

    held = 0

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        try:
            self.held += 1
            await asyncio.sleep(1)
            await asyncio.sleep(1)
        finally:
            self.held -= 1

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if self.held:
            raise PermanentError("something is held")


@buggy("cancellation", "H3", events=1, difficulty=3, shown_in=IN_INIT_LATER, twin=PreparesTwice)
class HoldsBetweenTwoWaits(PreparesTwice):
    """A cancel between its two waits skips what follows the second; on_init_failed trips over it."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        await asyncio.sleep(1)
        self.held += 1
        await asyncio.sleep(1)
        self.held -= 1

    async def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if self.held:
            raise RuntimeError("still held")


@buggy("cancellation", "H6 R4", events=1, difficulty=3, shown_in=IN_INIT, twin=Polls)
class CountsItsCancels:
    """Wants to be cancelled twice before it believes it, like an impatient Ctrl-C."""

    async def on_before_init(self, ctx: CallbackCtx) -> Any:
        asked = 0
        for _ in range(4):
            try:
                await asyncio.sleep(1 if asked == 0 else 100)
            except asyncio.CancelledError:
                asked += 1
                if asked == 2:
                    raise
