"""Awaiting what a hook awaits, step by step."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodeinit.testing.watched import Call, Log


class Stepped:
    """Awaits something of a hook's, step by step: so that we know when its code runs."""

    def __init__(self, log: Log, call: Call, awaitable: Any, late: float = 0.0) -> None:
        self.log, self.call, self.inner, self.late = log, call, awaitable.__await__(), late

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                asked = self.log._step(
                    self.call, True, functools.partial(self._on, value, error), self.late
                )
            except StopIteration as stop:
                return stop.value
            value = error = None
            try:
                value = yield asked
                self._forgiven()
            except asyncio.CancelledError as cancelled:
                error = cancelled
                self._cancelled()
            except BaseException as thrown:
                error = thrown

    def _forgiven(self) -> None:
        """`asyncio.timeout` takes its own cancel back: then the hook was not cancelled."""
        task = asyncio.current_task()
        if self.call.cancelled_at is not None and task is not None and not task.cancelling():
            self.call.cancelled_at = None

    def _cancelled(self) -> None:
        """Told apart from the error of a task that the hook itself cancelled and waits for."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task is not None else 0
        if cancels <= self.call.own_cancels:
            return
        now = self.log._now()
        overdue = now - self.call.began >= self.log.hook_deadline - 1e-6
        if overdue and self.call.cancelled_at is None:
            self.log.elapsed(self.call)
        if self.call.cancelled_at is None or cancels == 1:
            self.call.cancelled_at, self.call.cancelled_in = now, self.call.line

    def _on(self, value: Any, error: BaseException | None) -> Any:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            return self.inner.send(value) if error is None else self.inner.throw(error)
        finally:
            # Nobody else runs meanwhile: a cancel that came during this step is the hook's own.
            if task is not None and task.cancelling() != before:
                own = self.call.own_cancels + task.cancelling() - before
                self.call.own_cancels = max(0, min(own, task.cancelling()))
