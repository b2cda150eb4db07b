"""A node in a thread of its own, beside an event loop that others may block.

The start of an engine blocks the loop of its replica for as long as it loads; an async hook of a
user may do so too. Here neither holds up the other, and the node's deadlines hold.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeAlias

from nodeinit.errors import InitializationFailed
from nodeinit.fsm.events import Frame, Reason
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.fsm.shield import through
from nodeinit.node.initializer import NodeInitializer
from nodeinit.node.sync import LoopThread
from nodeinit.ray.llm import board
from nodeinit.ray.llm.naming import kin
from nodeinit.ray.tidying import GROUPS, tidy
from nodeinit.telemetry import observe

Check: TypeAlias = Callable[[NodeInitializer], None]


class Background:
    """A node that comes up within `budget` seconds and then stays, in a thread of its own.

    `check` has the last word on a node that is ready; it may block.
    """

    def __init__(
        self, make: Callable[[], NodeInitializer], budget: float, check: Check = lambda _: None
    ) -> None:
        self._make = make
        self._budget = budget
        self._check = check
        self._thread = LoopThread()
        self.node: NodeInitializer | None = None

    async def bring_up(self) -> None:
        """Bring the node to ready; call it once.

        Whatever fails, and when the caller is cancelled, everything is given back before this ends.
        Raises `InitializationFailed` with the reason.
        """
        loop = self._thread.loop
        ended: concurrent.futures.Future[asyncio.Task[None]] = concurrent.futures.Future()

        def start() -> None:
            self._task = loop.create_task(self._up())
            self._task.add_done_callback(ended.set_result)

        loop.call_soon_threadsafe(start)
        waiting = asyncio.wrap_future(ended)
        try:
            task = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            loop.call_soon_threadsafe(lambda: self._task.cancel())
            await through(waiting)
            self._thread.close()
            raise
        if task.cancelled() or task.exception() is not None:
            self._thread.close()
        task.result()

    async def end(self) -> None:
        """Give everything back. Safe to repeat."""
        if self.node is not None and self._thread.alive:
            leaving = self.node.__aexit__(None, None, None)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(leaving, self._thread.loop))
            self._thread.close()

    async def _up(self) -> None:
        node = self._make()
        await tidy(kin(node.config.model_id), GROUPS)
        observe(node)
        self.node = await node.__aenter__()
        try:
            async with board.telling(node, board.replica_here()), asyncio.timeout(self._budget):
                await node.wait_for(Frame.READY)
                await ThreadExecutor().call(self._check, node)
        except InitializationFailed:
            await node.__aexit__(None, None, None)
            raise
        except TimeoutError as error:
            why = f"not ready within the {self._budget:g} s that the engine's deadline leaves it"
            raise await _stopped(node, "elapsed", f"{why}. {node.explain()}") from error
        except Exception as error:
            raise await _stopped(node, "error", str(error)) from error
        except BaseException:
            await node.__aexit__(None, None, None)
            raise


async def _stopped(node: NodeInitializer, code: str, why: str) -> InitializationFailed:
    """End a node that may not go on, with its reason in the journal."""
    await node.cancel(why)
    await node.__aexit__(None, None, None)
    return InitializationFailed(Reason(code, why), journal=node.journal)
