"""Snapshots of a cluster, each made of the one before where nothing has changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from nodeinit.placement.hosts import Group, Host
from nodeinit.placement.ledger import Ledger
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.ray.group_rows import LiveRows
from nodeinit.ray.hosts import HostReader


class Snapshots:
    """Takes snapshots. An unchanged cluster costs what Ray's answers cost, and nothing is rebuilt.

    Single GPUs are known as far as groups were seen to come and go, one at a time.
    """

    def __init__(self) -> None:
        self._hosts = HostReader()
        self._groups = LiveRows()
        self._ledger = Ledger()
        self._looking = threading.Lock()
        self._last: tuple[Sequence[Host], Sequence[Group], ClusterSnapshot] | None = None

    def take(self) -> ClusterSnapshot:
        """Hosts and live groups now. Blocking; safe to call from several threads."""
        with self._looking:
            hosts = self._hosts.read()
            groups = tuple(row.group for row in self._groups.read())
            last = self._last
            if last is None or not (_same(hosts, last[0]) and _same(groups, last[1])):
                look = ClusterSnapshot(hosts, groups)
                self._ledger, known = self._ledger.follow(look)
                if last is not None:
                    known = last[2].now(known.hosts, known.groups)
                last = self._last = (hosts, groups, known)
            return last[2]


def _same(new: Sequence[object], old: Sequence[object]) -> bool:
    return len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True))
