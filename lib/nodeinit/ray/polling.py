"""Asking Ray again and again, off the event loop and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Call: TypeAlias = Callable[..., Awaitable[Any]]
"""Runs a blocking function away from the event loop."""


class Ticker:
    """Paces a poll: at once, soon, and then ever more slowly, up to ten times a second."""

    def __init__(self) -> None:
        self._pause = 0.0

    async def __call__(self) -> None:
        """Wait for the next time to look."""
        await asyncio.sleep(self._pause)
        self._pause = min(max(self._pause * 1.5, 0.002), 0.1)


async def in_time(seconds: float, ask: Callable[..., Awaitable[bool]], *args: Any) -> bool:
    """Ask until the answer is yes; whether that was within so many seconds."""
    now = asyncio.get_running_loop().time
    end, tick = now() + seconds, Ticker()
    while now() < end:
        await tick()
        if await ask(*args):
            return True
    return False


def seen(future: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """The future, whose error is not to be complained about when nobody asks for it."""
    future.add_done_callback(lambda late: late.cancelled() or late.exception())
    return future
