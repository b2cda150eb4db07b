"""Carrying work through to its end, whoever cancels the waiter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from nodeinit.errors import NodeInitError

log = logging.getLogger("nodeinit.ray")

T = TypeVar("T")


async def through(work: Awaitable[T]) -> T:
    """Wait for work to end, then let a cancel that came meanwhile take effect."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.cancelled() or task.exception()  # seen, not lost
        raise cancelled
    return task.result()


async def clean_up(work: Awaitable[object], what: str) -> None:
    """Carry a clean-up through. Its failure is logged: it must not hide what it came after.

    What could not be cleaned up stays known by its name, and whoever holds it tries again.
    """
    try:
        await through(work)
    except NodeInitError as error:
        log.warning("%s: %s", what, error)


async def within(task: asyncio.Future[T], seconds: float) -> bool:
    """Wait for a task at most so long; whether it ended. It is not cancelled."""
    if not task.done():  # one that is may be of an event loop that is no more
        await asyncio.wait({task}, timeout=seconds)
    return task.done()
