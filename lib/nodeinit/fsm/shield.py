"""Waiting that a cancel cannot cut short: what cleans up has to come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


async def outlast(task: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Wait for a task (at most `timeout` seconds), whoever cancels the waiter meanwhile."""
    while True:
        try:
            await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            continue
        return


async def through(work: Awaitable[T]) -> T:
    """Carry work through to its end, then let a cancel that came meanwhile take effect."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # seen, not lost
    raise cancelled
