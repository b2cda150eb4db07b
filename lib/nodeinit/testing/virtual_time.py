"""An event loop whose clock jumps: a wait of an hour takes no time and is exact.

There are no sockets, no threads and no signals in it: what would run in a thread
(`asyncio.to_thread`) runs at once. When nothing is left that could ever happen, it raises `Deadlock`
instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Every task waits for something that cannot happen any more."""


class Livelock(RuntimeError):
    """The loop went round too often: something spins without ever ending."""


class _Clock:
    """In the place of a selector: instead of waiting for files, it moves the time on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rounds = 0
        self.standing = 0
        self.limit = 1_000_000
        self.on_turn: Callable[[float], None] | None = None
        self.standing_limit = 1_000_000

    def select(self, timeout: float | None) -> list[Any]:
        self.rounds += 1
        if self.rounds > self.limit:
            raise Livelock(f"no end after {self.limit} rounds of the loop")
        if timeout is None:
            raise Deadlock(f"nothing can happen any more at t={self.now:g} s")
        self.standing = 0 if timeout else self.standing + 1
        if self.standing > self.standing_limit:
            raise Livelock(f"no end after {self.standing_limit} rounds in which no time passed")
        if timeout:
            self.now = round(self.now + timeout, 9)  # exact: sums of small waits must not drift
        if self.on_turn is not None:
            self.on_turn(self.now)
        return []

    def close(self) -> None:
        pass


class VirtualLoop(base_events.BaseEventLoop):
    """A deterministic event loop in virtual time, which starts at 0 s."""

    # Of the base class; its stubs do not show them.
    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Clock()
        self.off_loop: Callable[[Callable[[], Any]], Any] = lambda function: function()
        self.advanced = 0.0
        """How long the loop was blocked, in virtual seconds since the last reset."""
        self._clock_resolution = 1e-6  # well above the spacing of floats, even after years

    def time(self) -> float:
        """Seconds since the loop was made, in virtual time."""
        return self._selector.now

    @property
    def rounds(self) -> int:
        """How often the loop went round: the measure of work that virtual time does not show."""
        return self._selector.rounds

    def reset(self) -> None:
        """Start again at 0 s, so that one loop serves many runs."""
        self._selector.now = 0.0
        self.advanced = 0.0
        self.count_anew()

    def count_anew(self) -> None:
        """Count the rounds from 0 again."""
        self._selector.rounds = self._selector.standing = 0

    def advance(self, seconds: float) -> None:
        """Let time pass at once, as when something blocks the loop."""
        self.advanced += max(0.0, seconds)
        self._selector.now = round(self._selector.now + max(0.0, seconds), 9)

    def on_turn(self, watch: Callable[[float], None] | None) -> None:
        """Call a function before every turn, with the time."""
        self._selector.on_turn = watch

    def limit(self, rounds: int, standing: int | None = None) -> None:
        """Raise `Livelock` after so many rounds since the last reset.

        `standing` is how many there may be in a row in which no time passes; as many, if not given.
        """
        self._selector.limit = rounds
        self._selector.standing_limit = rounds if standing is None else standing

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """The function's result, or its exception; it runs now, and not in a thread."""
        future = self.create_future()
        try:
            future.set_result(self.off_loop(lambda: func(*args)))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _run_once(self) -> None:
        """One turn, as in the base class, without what only threads, sockets and debugging need."""
        ready, timers, clock = self._ready, self._scheduled, self._selector
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
            self._timer_cancelled_count -= 1
        timeout = None
        if ready or self._stopping:
            timeout = 0.0
        elif timers:
            timeout = max(0.0, timers[0]._when - clock.now)
        clock.select(timeout)
        due = clock.now + self._clock_resolution
        while timers and timers[0]._when < due:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _write_to_self(self) -> None:
        pass


def run_virtual(main: Coroutine[Any, Any, T], *, loop: VirtualLoop | None = None) -> T:
    """Run a coroutine to its end in virtual time, and everything that it left behind too.

    Tasks that are still pending at the end are cancelled and waited for, as `asyncio.run` does.
    """
    own = loop is None
    loop = loop or VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _finish(loop)
        if own:
            loop.close()


def _finish(loop: VirtualLoop) -> None:
    loop.count_anew()  # what spun without an end gets its turns to be cancelled
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
