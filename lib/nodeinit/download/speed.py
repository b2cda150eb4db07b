"""How fast bytes come, and how long the rest will take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

WINDOW = 10.0
"""Seconds over which the rate is the mean: long enough to be steady, short enough to be true."""


@attrs.frozen
class Speed:
    """`rate` is in bytes per second; `left` is in seconds, `None` while nobody can tell."""

    rate: float = 0.0
    left: float | None = None


def speed(samples: Iterable[tuple[float, int]], total: int) -> Speed:
    """The speed of a transfer of `total` bytes, seen at some times (seconds, bytes done by then)."""
    seen = list(samples)
    if not seen:
        return Speed()
    rate, ahead = _rate(seen), max(0, total - seen[-1][1])
    if not ahead:
        return Speed(rate, 0.0)
    return Speed(rate, ahead / rate if rate > 0 else None)


class Samples:
    """The samples of the last `WINDOW` seconds of one transfer, and one from before them."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._stage = ""

    def add(self, now: float, done: int, stage: str) -> None:
        """Take note of how far it is; another stage, or fewer bytes, begin another transfer."""
        if stage != self._stage or (self._seen and done < self._seen[-1][1]):
            self._seen.clear()
        self._stage = stage
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW:
            self._seen.popleft()

    def speed(self, total: int) -> Speed:
        """The speed by now."""
        return speed(self._seen, total)


def _rate(seen: list[tuple[float, int]]) -> float:
    (began, first), (now, done) = seen[0], seen[-1]
    return (done - first) / (now - began) if now > began else 0.0
