"""A bound on bytes per second that many threads share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Bucket:
    """Lets `rate` bytes pass per second in all; `None` lets pass everything.

    Nothing is saved up while nobody asks: a line that was idle does not owe a burst.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._free_at = clock()
        self._lock = threading.Lock()

    def take(self, count: int, sleep: Callable[[float], object]) -> None:
        """Account for `count` bytes that came, and sleep for as long as they were early."""
        if self._rate is None:
            return
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._rate
            early = self._free_at - now
        sleep(early)
