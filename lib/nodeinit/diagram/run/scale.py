"""From seconds to pixels: straight, but for long calm times, which are drawn shorter than they were."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

import attrs

CALM = 0.2
"""Calm times that are cut short take this part of the width together."""

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400)


@attrs.frozen
class Scale:
    """Where moments are drawn. `cuts` are the calm times that are drawn shorter than they were."""

    left: float
    right: float
    knots: tuple[tuple[float, float], ...]
    cuts: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(
        cls, until: float, calm: Sequence[tuple[float, float]], left: float, right: float
    ) -> Scale:
        """A scale from 0 to `until`. Long `calm` times, in order, are cut short if they are most."""
        until = max(until, 1e-6)
        calm = [(begin, end) for begin, end in calm if end - begin > 0.1 * until]
        quiet = sum(end - begin for begin, end in calm)
        if quiet <= 0.5 * until:
            return cls(left, right, ((0.0, left), (until, right)))
        busy = until - quiet
        room = (right - left) * CALM
        knots: list[tuple[float, float]] = [(0.0, left)]
        for begin, end in calm:
            at = knots[-1]
            x = at[1] + ((right - left - room) * (begin - at[0]) / busy if busy > 0 else 0.0)
            knots += [(begin, x), (end, x + room * (end - begin) / quiet)]
        knots.append((until, right))
        return cls(left, right, tuple(knots), tuple(calm))

    def x(self, at: float) -> float:
        """The place of a moment."""
        place = bisect.bisect_right(self.knots, (at, math.inf)) - 1
        place = max(0, min(place, len(self.knots) - 2))
        (begin, x), (end, right) = self.knots[place], self.knots[place + 1]
        if end <= begin:
            return x
        return min(self.right, max(self.left, x + (right - x) * (at - begin) / (end - begin)))

    def ticks(self, apart: float) -> tuple[float, list[tuple[float, float]]]:
        """Moments worth a line with their places, so many pixels apart or more, and seconds apart."""
        busy = [
            (begin, end, x, right)
            for (begin, x), (end, right) in itertools.pairwise(self.knots)
            if right > x and (begin, end) not in self.cuts
        ]
        if not busy:
            return 1.0, []
        found: list[tuple[float, float]] = []
        each = max((end - begin) / (right - x) for begin, end, x, right in busy) * apart
        step = _step(each)
        last = -math.inf
        for begin, end, _, _ in busy:
            for n in range(math.ceil(begin / step), math.floor(end / step) + 1):
                x = self.x(n * step)
                if x - last >= apart:
                    last = x
                    found.append((n * step, x))
        return step, found


def _step(least: float) -> float:
    """The smallest round number of seconds that is not less."""
    if least <= 1:
        power = 10.0 ** math.floor(math.log10(max(least, 1e-9)))
        return next(power * n for n in (1, 2, 5, 10) if power * n >= least * 0.999)
    return next((n for n in _STEPS if n >= least), 86400 * math.ceil(least / 86400))
