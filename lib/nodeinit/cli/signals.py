"""Ctrl-C and SIGTERM as something to wait for, not as an exception in the middle of anything."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Within its block SIGINT and SIGTERM are counted; `on_signal` is told the number of each.

    A loop's signal handler runs between two steps of the loop, so it finds nothing half done.
    """

    def __init__(self, on_signal: Callable[[int], None]) -> None:
        self._on_signal = on_signal
        self._seen = asyncio.Event()
        self._count = 0

    @property
    def seen(self) -> bool:
        """Whether there was one."""
        return self._seen.is_set()

    def _note(self) -> None:
        self._count += 1
        self._seen.set()
        self._on_signal(self._count)

    async def first(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Wait until `work` has ended or there was an interrupt; the work then still goes on."""
        task = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(self._seen.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        return task

    def __enter__(self) -> Interrupts:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
