"""Hosts and live groups of a cluster at one moment, and moments that follow from it.

A snapshot is a value. What is derived from its hosts (shelves to plan on, say) is kept beside it,
and a snapshot that follows from another takes it over with only the changed hosts worked in: so
that planning again and again costs what has changed, whatever the size of the cluster.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import attrs

from nodeinit.placement import gpus
from nodeinit.placement.amounts import UNIT, amount, fixed, reported
from nodeinit.placement.hosts import Bundle, Group, Host, names, total_of
from nodeinit.placement.placed import Pin, PlacedBundle, Placement, PlacementPlan

# All the words of a placement can be had from here.
__all__ = [
    "UNIT",
    "Bundle",
    "ClusterSnapshot",
    "Group",
    "Host",
    "Pin",
    "PlacedBundle",
    "Placement",
    "PlacementPlan",
    "amount",
    "fixed",
    "names",
    "reported",
    "total_of",
]

Change: TypeAlias = tuple[Host | None, Host | None]
"""A host before and after; `None` where it was not there yet, or is no more."""

_MOST = 64
"""So many derived things are kept; more different ones are made anew when they are asked for."""

_id = attrgetter("node_id")


class Derived(Protocol):
    """Something that follows from the hosts of a snapshot, and can follow their changes."""

    def updated(self, changes: Sequence[Change]) -> Self:
        """The same of the hosts after these changes."""
        ...


D = TypeVar("D", bound=Derived)


class _Derivations(dict[Hashable, Any]):
    """What was derived, by what it is. It is no part of the value: a pickle leaves it behind."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Derivations, ()


class _ById(tuple[Host, ...]):
    """Hosts that are sorted by node id already."""

    __slots__ = ()


def _by_id(hosts: Iterable[Host]) -> tuple[Host, ...]:
    return hosts if isinstance(hosts, _ById) else _ById(sorted(hosts, key=_id))


@attrs.frozen(cache_hash=True)
class ClusterSnapshot:
    """Hosts and live groups of a cluster at one moment. `hosts` is sorted by node id.

    What the groups say about single GPUs is worked into the hosts: `Host.gpus` where it follows,
    otherwise `Host.slices`.
    """

    hosts: tuple[Host, ...] = attrs.field(converter=_by_id)
    groups: tuple[Group, ...] = ()
    _derived: _Derivations = attrs.field(factory=_Derivations, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Work the groups' shares of GPUs into the hosts."""
        hosts = gpus.explained(self.hosts, self.groups)
        if hosts is not self.hosts:
            object.__setattr__(self, "hosts", _ById(hosts))

    def host(self, node_id: str) -> Host | None:
        """The host with this id, or `None`."""
        at = bisect_left(self.hosts, node_id, key=_id)
        found = self.hosts[at] if at < len(self.hosts) else None
        return found if found is not None and found.node_id == node_id else None

    @property
    def alive(self) -> tuple[Host, ...]:
        """The hosts that are alive."""
        return tuple(host for host in self.hosts if host.alive)

    @property
    def uncertain(self) -> bool:
        """Whether on any living host more is taken of single GPUs than their sum tells."""
        return self.derived("uncertain", _Uncertain.of).count > 0

    def derived(self, what: Hashable, make: Callable[[Iterable[Host]], D]) -> D:
        """What `make` makes of the hosts: made once for each `what`, then kept up to date."""
        if what not in self._derived:
            while len(self._derived) >= _MOST:
                del self._derived[next(iter(self._derived))]
            self._derived[what] = make(self.hosts)
        found: D = self._derived[what]
        return found

    def after(
        self, changed: Iterable[Host], groups: tuple[Group, ...] | None = None
    ) -> ClusterSnapshot:
        """The next moment: some hosts, found by their ids, are now like this.

        The shares of GPUs of these hosts are taken as they are. `groups` are all groups of that
        moment; `None`: the same as before.
        """
        changes: list[Change] = []
        hosts = list(self.hosts)
        for new in changed:
            at = bisect_left(hosts, new.node_id, key=_id)
            if at == len(hosts) or hosts[at].node_id != new.node_id:
                changes.append((None, new))
                hosts.insert(at, new)
            elif hosts[at] is not new:
                changes.append((hosts[at], new))
                hosts[at] = new
        return self._following(hosts, self.groups if groups is None else groups, changes)

    def now(self, hosts: Iterable[Host], groups: Iterable[Group]) -> ClusterSnapshot:
        """The next moment, given all its hosts and groups: what did not change is taken over."""
        fresh = ClusterSnapshot(tuple(hosts), tuple(groups))
        before = {host.node_id: host for host in self.hosts}
        kept: list[Host] = []
        changes: list[Change] = []
        for host in fresh.hosts:
            old = before.pop(host.node_id, None)
            if old is None or (old is not host and old != host):
                changes.append((old, host))
            kept.append(host if old is None or old != host else old)
        changes += [(gone, None) for gone in before.values()]
        return self._following(kept, fresh.groups, changes)

    def _following(
        self, hosts: Sequence[Host], groups: tuple[Group, ...], changes: Sequence[Change]
    ) -> ClusterSnapshot:
        following = ClusterSnapshot.__new__(ClusterSnapshot)
        derivations = _Derivations()
        for what, found in self._derived.items():
            derivations[what] = found.updated(changes) if changes else found
        for name, value in (
            ("hosts", _ById(hosts)),
            ("groups", groups),
            ("_derived", derivations),
            ("_attrs_cached_hash", None),  # as attrs' own __init__ leaves it
        ):
            object.__setattr__(following, name, value)
        return following

    def emptied(self) -> ClusterSnapshot:
        """The same hosts as if nothing ran on them: all that they have is free."""
        return self.derived("emptied", _Emptied.of).snapshot

    def without(self, group: Group) -> ClusterSnapshot:
        """The cluster as it will be when a group is gone: what it held is free."""
        left = tuple(other for other in self.groups if other is not group)
        freed = []
        for node_id in {node_id for node_id in group.assigned if node_id is not None}:
            host = self.host(node_id)
            if host is not None:
                freed.append(gpus.freed(host, group.on(node_id), left))
        return self.after(freed, left)


@attrs.frozen
class _Uncertain:
    """How many living hosts are uncertain."""

    count: int

    @classmethod
    def of(cls, hosts: Iterable[Host]) -> _Uncertain:
        return cls(sum(host.alive and host.uncertain for host in hosts))

    def updated(self, changes: Sequence[Change]) -> _Uncertain:
        fewer = self.of(old for old, _ in changes if old is not None)
        more = self.of(new for _, new in changes if new is not None)
        return _Uncertain(self.count - fewer.count + more.count)


@attrs.frozen
class _Emptied:
    """The hosts as if nothing ran on them, which only changes with what they are."""

    snapshot: ClusterSnapshot

    @classmethod
    def of(cls, hosts: Iterable[Host]) -> _Emptied:
        return cls(ClusterSnapshot(tuple(_empty(host) for host in hosts)))

    def updated(self, changes: Sequence[Change]) -> _Emptied:
        emptied = [(old and _empty(old), new and _empty(new)) for old, new in changes]
        if all(old == new for old, new in emptied):
            return self
        hosts = {host.node_id: host for host in self.snapshot.hosts}
        for old, new in emptied:
            if new is not None:
                hosts[new.node_id] = new
            elif old is not None:
                del hosts[old.node_id]
        return _Emptied(self.snapshot.now(hosts.values(), ()))


def _empty(host: Host) -> Host:
    if host.untouched and host.gpus is None and not host.slices:
        return host
    return attrs.evolve(host, available=host.total, gpus=None, slices=())
