"""The blocking twin of the embedding API: works with or without a running event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, ModelFiles
from nodeinit.node.ready import ReadyNode, initialize_node
from nodeinit.placement.topology import Placement

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread, for callers that have none or may not block theirs."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="nodeinit-loop", daemon=True
        )
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. An interrupt cancels it, and waits until it has released."""
        ended = threading.Event()

        async def tracked() -> T:
            try:
                return await work
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(tracked(), self.loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
                ended.wait()
            raise

    def close(self) -> None:
        """Stop the loop and its thread."""
        if self.alive:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


class ReadyNodeSync:
    """A node that is ready, for blocking code. Release it, or use it as `with`."""

    def __init__(self, ready: ReadyNode, loop: LoopThread) -> None:
        self._ready = ready
        self._loop = loop

    @property
    def ctx(self) -> CallbackCtx:
        """The context, with every result."""
        return self._ready.ctx

    @property
    def model(self) -> ModelFiles:
        """The model: `model.path` is the directory for the engine."""
        return self._ready.model

    @property
    def placement(self) -> Placement:
        """Where Ray put the bundles."""
        return self._ready.placement

    def release(self) -> None:
        """Give everything back. Safe to repeat."""
        if self._loop.alive:
            self._loop.run(self._ready.release())
            self._loop.close()

    def __enter__(self) -> ReadyNodeSync:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def initialize_node_sync(config: LLMConfig, **options: Any) -> ReadyNodeSync:
    """Bring a node to READY and return it; see `initialize_node`. Ctrl-C releases first."""
    loop = LoopThread()
    try:
        ready = loop.run(initialize_node(config, **options))
    except BaseException:
        loop.close()
        raise
    return ReadyNodeSync(ready, loop)
