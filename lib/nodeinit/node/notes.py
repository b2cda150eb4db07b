"""What is worth keeping beside the steps of a run: enough to draw it, however long it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from nodeinit.clusters.base import Progress
from nodeinit.fsm.journal import Journal, Note
from nodeinit.placement.snapshot_file import snapshot_data
from nodeinit.placement.topology import ClusterSnapshot

MOST_HOSTS = 128
"""A note of a cluster has the hosts of the plan, and others up to so many in all."""

FEW = 64
"""With more hosts than this each of them is noted more rarely."""

_OFTEN = (
    0.02,
    0.5,
    10.0,
)  # a part of the whole, not sooner than after, and at the latest after (s)
_RARELY = (0.2, 10.0, 60.0)


def cluster_note(
    snapshot: ClusterSnapshot, planned: tuple[str, ...]
) -> tuple[str, Mapping[str, Any]]:
    """What a plan was made against: the hosts that it took, and others as far as there is room.

    `more` counts the hosts that are left out.
    """
    taken = set(planned)
    first = [host for host in snapshot.hosts if host.node_id in taken]
    others = (host for host in snapshot.hosts if host.node_id not in taken)
    hosts = [
        *first,
        *(host for _, host in zip(range(MOST_HOSTS - len(first)), others, strict=False)),
    ]
    here = {host.node_id for host in hosts}
    groups = tuple(group for group in snapshot.groups if here & set(group.assigned))
    data = snapshot_data(ClusterSnapshot(tuple(hosts), groups))
    return "cluster", {**data, "more": len(snapshot.hosts) - len(hosts)}


class Notes:
    """Keeps notes in memory, and in the journal if there is one."""

    def __init__(self) -> None:
        self._kept: list[Note] = []
        self._clock: Callable[[], float] = lambda: 0.0
        self._journal: Journal | None = None
        self._last: dict[str, tuple[float, Progress]] = {}
        self._cluster: Mapping[str, Any] | None = None

    @property
    def kept(self) -> tuple[Note, ...]:
        """All notes so far, in order."""
        return tuple(self._kept)

    def begin(self, clock: Callable[[], float], journal: Journal | None) -> None:
        """Take the time from here, seconds since the machine began, and write to the journal."""
        self._clock, self._journal = clock, journal

    def keep(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep a note; one of a cluster only if that has changed."""
        if kind == "cluster":
            if data == self._cluster:
                return
            self._cluster = data
        note = Note(kind, self._clock(), data)
        self._kept.append(note)
        if self._journal is not None:
            self._journal.note(note)

    def progress(self, report: Progress) -> None:
        """Keep how far a host is, if that says more than what was kept of it last."""
        now = self._clock()
        last = self._last.get(report.node_id)
        if last is not None and not self._telling(report, last[1], now - last[0]):
            return
        self._last[report.node_id] = now, report
        left = None if report.left is None else round(report.left, 3)
        # An estimate needs no more.
        exact = attrs.evolve(report, rate=round(report.rate), left=left)
        told = attrs.asdict(exact, filter=lambda _, value: value not in ("", 0.0, None))
        self.keep("progress", {"node_id": report.node_id, "done": 0, "total": 0, **told})

    def _telling(self, report: Progress, last: Progress, passed: float) -> bool:
        if (report.stage, report.total, report.note) != (last.stage, last.total, last.note):
            return True
        if report.done == last.done:
            return False
        if report.done < last.done or report.done >= report.total:
            return True
        part, soonest, latest = _OFTEN if len(self._last) <= FEW else _RARELY
        moved = (report.done - last.done) / report.total
        return (moved >= part and passed >= soonest) or passed >= latest
