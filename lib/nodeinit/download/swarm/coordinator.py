"""The driver's end of a swarm: who leads, who knows whom, who needs what. Pure, no clock of its own.

A member is heard whenever it reports, and answered with orders. One that dies is `gone` until it is
heard again; one that will not come back has `left`.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.download.swarm.words import Endpoint, Orders, Report

PATIENCE = 10.0
"""Seconds to wait for all members before one of them is made the leader.

As long is waited for a leader whose process died: what it had begun is on its disk still.
"""

_NEIGHBOURS = 8  # with more peers than this, a member is told of a few that reach all in few hops


class Coordinator:
    """Knows what the members said last, and every torrent that was made."""

    def __init__(self, members: Sequence[str]) -> None:
        self._members = list(members)
        self._reports: dict[str, Report] = {}
        self._torrents: dict[str, bytes] = {}  # in the order in which they were made
        self._leader: str | None = None
        self._began: float | None = None
        self._missed: str | None = None
        self._missed_since: float | None = None
        self._pulse = 0
        self._held: frozenset[str] | None = None
        self._lacked: frozenset[str] | None = None

    @property
    def leader(self) -> str | None:
        """The member that brings from the origin what no other has."""
        return self._leader

    def heard(self, member: str, report: Report, now: float) -> Orders:
        """Take note of a report; the answer to it. `now` is in seconds, of any steady clock."""
        if self._began is None:
            self._began = now
        before = self._reports.get(member)
        self._reports[member] = report
        if member == self._missed:
            self._missed = None
        if before is None or _needs(before) != _needs(report):
            self._held = self._lacked = None
        if member == self._leader and (before is None or before.done != report.done):
            self._pulse += 1
        for path, torrent in report.made:
            self._torrents.setdefault(path, torrent)
        self._elect(now)
        return self._orders(member, report)

    def gone(self, member: str) -> None:
        """A member's process has died; another one may report in its place."""
        if member == self._leader:
            self._missed, self._missed_since = member, None
        self._reports.pop(member, None)
        self._held = self._lacked = None
        self._dismiss(member)

    def left(self, member: str) -> None:
        """A member has ended and needs nothing."""
        if member in self._members:
            self._members.remove(member)
        self.gone(member)
        if member == self._missed:
            self._missed = None

    def _dismiss(self, member: str) -> None:
        if self._leader == member:
            self._leader = None
            self._pulse += 1

    def _elect(self, now: float) -> None:
        # Who needs most can give all that others need; who needs less would leave them waiting.
        taking_part = self._taking_part()
        widest = max((one.wants_bytes for _, one in taking_part), default=0)
        leading = self._reports.get(self._leader or "")
        if leading is not None and not leading.alone and leading.wants_bytes == widest:
            return
        if self._leader is not None:
            self._dismiss(self._leader)
        able = {
            name: one
            for name, one in taking_part
            if one.endpoint and one.ready and one.wants_bytes == widest
        }
        assert self._began is not None
        all_here = len(self._reports) == len(self._members)
        if not able or (self._pulse == 0 and not all_here and now - self._began < PATIENCE):
            return
        if self._missed is not None:
            if self._missed_since is None:
                self._missed_since = now
            if now - self._missed_since < PATIENCE:
                return
        self._leader = max(able, key=lambda name: able[name].has_bytes)
        self._pulse += 1

    def _taking_part(self) -> list[tuple[str, Report]]:
        return [
            (name, self._reports[name])
            for name in self._members
            if name in self._reports and not self._reports[name].alone
        ]

    def _orders(self, member: str, report: Report) -> Orders:
        everyone_here = all(name in self._reports for name in self._members)
        # Counted again only when somebody got a file: 64 hosts ask many times in between.
        if self._held is None or self._lacked is None:
            reports = list(self._reports.values())
            self._held = frozenset().union(*(one.has for one in reports))
            self._lacked = frozenset().union(
                *(one.wants - one.has for one in reports if not one.alone)
            )
        held, lacked = self._held, self._lacked
        return Orders(
            lead=member == self._leader,
            torrents=tuple(self._torrents.items())[report.got :],
            make=self._to_make(member, report),
            peers=self._neighbours(member),
            held=held,
            idle=report.has - lacked if everyone_here else frozenset(),
            pulse=self._pulse,
            over=everyone_here and not lacked,
        )

    def _to_make(self, member: str, report: Report) -> frozenset[str]:
        """The files that this member is the first to have, and of which there is no torrent."""
        makers: dict[str, str] = {}
        for name in self._members:
            for path in self._reports[name].has if name in self._reports else ():
                makers.setdefault(path, name)
        bare = report.has - self._torrents.keys()
        return frozenset(path for path in bare if makers.get(path) == member)

    def _neighbours(self, member: str) -> tuple[Endpoint, ...]:
        """Whom a member should know: all, or in a large swarm those 1, 2, 4, 8, … places away."""
        ring = sorted(name for name, one in self._reports.items() if one.endpoint is not None)
        if member not in ring:
            return ()
        size, at = len(ring), ring.index(member)
        if size - 1 <= _NEIGHBOURS:
            near = {name for name in ring if name != member}
        else:
            steps = [2**power for power in range(size.bit_length()) if 2**power < size]
            near = {ring[(at + way * step) % size] for step in steps for way in (1, -1)} - {member}
        found = (self._reports[name].endpoint for name in sorted(near))
        return tuple(endpoint for endpoint in found if endpoint is not None)


def _needs(report: Report) -> tuple[frozenset[str], frozenset[str], bool]:
    return report.wants, report.has, bool(report.alone)
