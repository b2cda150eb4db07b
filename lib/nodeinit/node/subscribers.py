"""Telling others what happens, without letting them hold anything up."""

from __future__ import annotations

import asyncio
import collections
import inspect
import logging
from collections.abc import Callable
from typing import Any

from nodeinit.fsm.executor import Executor

log = logging.getLogger("nodeinit.subscribers")


class Subscribers:
    """Functions that are told something, each in its own time, in order.

    With `latest` a subscriber that lags behind gets only the newest item of each `node_id`.
    `drain` is how long (seconds) the end waits for those that lag.
    """

    def __init__(self, executor: Executor, *, latest: bool = False, drain: float = 2.0) -> None:
        self._executor = executor
        self._latest = latest
        self._drain = drain
        self._pumps: dict[int, _Pump] = {}
        self._next = 0

    def add(self, function: Callable[[Any], Any]) -> Callable[[], None]:
        """Subscribe a function, sync or async; answers the function that unsubscribes it."""
        key, self._next = self._next, self._next + 1
        self._pumps[key] = _Pump(function, self._executor, self._latest)

        def unsubscribe() -> None:
            self._pumps.pop(key, None)

        return unsubscribe

    def publish(self, item: Any) -> None:
        """Hand an item to every subscriber; returns at once."""
        for pump in self._pumps.values():
            pump.put(item)

    async def close(self) -> None:
        """Give those that lag a moment to catch up."""
        tasks = [pump.task for pump in self._pumps.values() if pump.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._drain)
            for task in late:
                task.cancel()
        self._pumps.clear()


class _Pump:
    """One subscriber and what it has not been told yet; its task lives only while there is some."""

    def __init__(self, function: Callable[[Any], Any], executor: Executor, latest: bool) -> None:
        self._function = function
        self._executor = executor
        self._latest = latest
        self._waiting: collections.OrderedDict[Any, Any] = collections.OrderedDict()
        self._count = 0
        self.task: asyncio.Task[None] | None = None

    def put(self, item: Any) -> None:
        self._count += 1
        key = getattr(item, "node_id", self._count) if self._latest else self._count
        self._waiting[key] = item
        if self.task is None:
            self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self._waiting:
            _, item = self._waiting.popitem(last=False)
            try:
                if inspect.iscoroutinefunction(self._function):
                    await self._function(item)
                else:
                    answer = await self._executor.call(self._function, item)
                    if inspect.isawaitable(answer):
                        await answer
            except Exception:
                log.exception("a subscriber failed; the node goes on")
        self.task = None
