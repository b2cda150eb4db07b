"""Cleaning up whatever happens, and waiting for at most so long without ending what is waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from nodeinit.errors import NodeInitError
from nodeinit.fsm.shield import through

log = logging.getLogger("nodeinit.ray")

T = TypeVar("T")


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
