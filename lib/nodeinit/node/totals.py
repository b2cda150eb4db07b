"""All hosts of a download together: bytes, rate and the time that is left. Cheap at any size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nodeinit.clusters.base import Progress

_PAUSE = 0.5  # seconds between two totals
_WINDOW = 10.0  # seconds over which the rate is the mean
_MOVING = ("fetch",)  # stages in which bytes are brought


class Totals:
    """Passes on what each host says, and from time to time what that makes in all.

    `clock` gives seconds that never go back. A total is said with the `node_id` "".
    """

    def __init__(
        self, hosts: int, report: Callable[[Progress], None], clock: Callable[[], float]
    ) -> None:
        self._hosts = hosts
        self._report = report
        self._clock = clock
        self._parts: dict[str, tuple[int, int]] = {}
        self._done = self._total = 0
        self._moved = 0
        self._last: dict[str, tuple[str, int]] = {}
        self._window: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._said = -_PAUSE

    def __call__(self, progress: Progress) -> None:
        """Take note of one host's progress."""
        self._report(progress)
        if self._hosts < 2 or not progress.total:
            return
        self._count(progress)
        now, complete = self._clock(), len(self._parts) == self._hosts
        over = complete and self._done >= self._total
        if now - self._said < _PAUSE and not over:
            return
        self._said = now
        self._window.append((now, self._moved))
        while len(self._window) > 2 and now - self._window[1][0] > _WINDOW:
            self._window.popleft()
        began, moved = self._window[0]
        rate = (self._moved - moved) / (now - began) if now > began else 0.0
        left = (self._total - self._done) / rate if complete and rate > 0 else None
        self._report(
            Progress(
                "", self._done, self._total, stage="total", rate=rate, left=0.0 if over else left
            )
        )

    def _count(self, progress: Progress) -> None:
        """Replace what a host said before; the rate counts only bytes that are brought."""
        done, total = self._parts.get(progress.node_id, (0, 0))
        self._parts[progress.node_id] = (progress.done, progress.total)
        self._done += progress.done - done
        self._total += progress.total - total
        stage, before = self._last.get(progress.node_id, ("", 0))
        self._last[progress.node_id] = (progress.stage, progress.done)
        if progress.stage in _MOVING:
            same = stage == progress.stage and progress.done >= before
            self._moved += progress.done - (before if same else 0)
