"""How much of Ray's behaviour a simulated cluster has: what was measured on Ray 2.60, as numbers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import attrs


@attrs.frozen
class RayLike:
    """What Ray does beside giving out what is free. Times are seconds.

    `seed` decides what Ray leaves open: which of equally good hosts a bundle gets, how late each
    release is seen, where in a second the ticks are.

    A try to place a group takes `attempt`; one that is removed meanwhile leaks what it was getting,
    if `leaks` (with Ray some of them do: 6 in 100). A group without room is tried again at a tick.
    What a removed group held is seen to be free after a time within `late`, the death of a host
    after `death`. A group that lost a host is placed anew, if `reschedules`: before everybody else,
    and as long as it could have room but has none, nobody else's is tried.
    """

    seed: int = 0
    attempt: float = 0.001
    tick: float = 1.0
    late: tuple[float, float] = (0.02, 0.11)
    death: float = 0.05
    leaks: bool = True
    reschedules: bool = True

    def tie(self, number: int, tied: Sequence[str]) -> str:
        """Which of these Ray takes, the `number`-th time that it is all the same to it."""
        return tied[self._chance("tie", number) % len(tied)]

    def delay(self, number: int) -> float:
        """After how long the `number`-th release is seen."""
        first, last = self.late
        return first + (last - first) * (self._chance("late", number) % 997) / 997

    def next_tick(self, now: float) -> float:
        """When the next tick is; ticks do not begin when somebody asks for something."""
        if not self.tick:
            return now
        phase = self.tick * (self._chance("tick", 0) % 997) / 997
        return phase + ((now - phase) // self.tick + 1) * self.tick

    def _chance(self, what: str, number: int) -> int:
        return zlib.crc32(f"{self.seed}/{what}/{number}".encode())


@attrs.frozen
class Plain(RayLike):
    """Nothing takes time and nothing is left open: of equally good hosts the first by its id.

    A group whose host died stays as it was.
    """

    attempt: float = 0.0
    tick: float = 0.0
    late: tuple[float, float] = (0.0, 0.0)
    death: float = 0.0
    leaks: bool = False
    reschedules: bool = False

    def tie(self, number: int, tied: Sequence[str]) -> str:
        """The first one."""
        return tied[0]


PLAIN = Plain()
