"""Whether a member of a swarm still gets on, or had better go to the origin itself."""

from __future__ import annotations

GRACE = 5.0
"""Seconds that a new leader waits for files that had been offered by one that died."""


class Pace:
    """Looks at a swarm again and again, with the time of any steady clock in seconds.

    `stall` is how many seconds without progress are one too many.
    """

    def __init__(self, stall: float, now: float) -> None:
        self._stall = stall
        self._moved = self._pulsed = now
        self._seen: tuple[int, frozenset[str]] = (0, frozenset())
        self._beat: tuple[int, bool] = (0, False)

    def look(
        self, now: float, *, received: int, held: frozenset[str], pulse: int, lead: bool
    ) -> None:
        """Take note: bytes that came, lacking files that another has, the leader's pulse."""
        if (received, held) != self._seen:
            self._seen, self._moved = (received, held), now
        if (pulse, lead) != self._beat:
            self._beat, self._pulsed = (pulse, lead), now

    def is_stalled(self, now: float) -> bool:
        """Whether nothing comes though others have it, or nobody brings what nobody has."""
        if self._seen[1]:
            return now - self._moved > self._stall
        return now - max(self._moved, self._pulsed) > self._stall

    def should_lead(self, now: float, *, offered: bool) -> bool:
        """Whether it is time for a leader to go to the origin for the rest.

        `offered` says that somebody had a file that is lacking: it may come back soon.
        """
        _, lead = self._beat
        if not lead or self._seen[1]:
            return lead and self.is_stalled(now)
        return not offered or now - max(self._moved, self._pulsed) > min(GRACE, self._stall)
