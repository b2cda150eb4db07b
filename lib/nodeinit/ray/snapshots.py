"""Snapshots of a cluster, each made of the one before where nothing has changed."""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.placement.topology import ClusterSnapshot, Group, Host
from nodeinit.ray.group_rows import LiveRows
from nodeinit.ray.hosts import HostReader


class Snapshots:
    """Takes snapshots. An unchanged cluster costs what Ray's answers cost, and nothing is rebuilt."""

    def __init__(self) -> None:
        self._hosts = HostReader()
        self._groups = LiveRows()
        self._last: tuple[Sequence[Host], Sequence[Group], ClusterSnapshot] | None = None

    def take(self) -> ClusterSnapshot:
        """Hosts and live groups now. Blocking; safe to call from several threads."""
        hosts = self._hosts.read()
        groups = tuple(row.group for row in self._groups.read())
        last = self._last
        if last is None or not (_same(hosts, last[0]) and _same(groups, last[1])):
            last = self._last = (hosts, groups, ClusterSnapshot(hosts, groups))
        return last[2]


def _same(new: Sequence[object], old: Sequence[object]) -> bool:
    return len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True))
