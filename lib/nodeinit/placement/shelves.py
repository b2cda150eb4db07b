"""Hosts that are alike to a request, together on one shelf, and the shelves in order.

A cluster has thousands of hosts but few kinds of room on them. The shelves of a snapshot are made
once for each way of looking at it and then kept up to date, so that planning costs what the kinds
cost and not what the hosts do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs

from nodeinit.frozen import FrozenMap
from nodeinit.placement import gpus, labels
from nodeinit.placement.hosts import Host
from nodeinit.placement.stranding import Stock, stock_of
from nodeinit.placement.topology import Change, ClusterSnapshot

Row: TypeAlias = tuple[int, ...]
"""Amounts by column: GPUs first, counted in bundles, then other resources in fixed point."""

Shelf: TypeAlias = tuple[Row, Stock, bool, int]
"""Hosts that cannot be told apart: room, stock, whether they are untouched, which terms they fit."""

SEAT = "seat"
"""A column that keeps units apart: every host has one seat."""


@attrs.frozen(cache_hash=True)
class Term:
    """What a host must be, whatever is free on it.

    `domain` is a label and the value that it must have exactly: hosts that lie together.
    """

    labels: FrozenMap
    accelerator_type: str | None
    domain: tuple[str, str] | None = None

    def sort_key(self) -> tuple[str, str, tuple[str, str]]:
        """What orders terms."""
        domain = self.domain or ("", "")
        return labels.describe(self.labels), self.accelerator_type or "", domain

    def admits(self, host: Host) -> bool:
        """Whether a host has the labels and the accelerator, by its resource or by its label."""
        return self.has_labels(host) and self.has_accelerator(host) and self.has_domain(host)

    def has_labels(self, host: Host) -> bool:
        """Whether a host has the labels."""
        return labels.matches(self.labels, host.labels)

    def has_accelerator(self, host: Host) -> bool:
        """Whether a host has the accelerator."""
        kind = self.accelerator_type
        return (
            kind is None
            or f"accelerator_type:{kind}" in host.total
            or host.labels.get(labels.ACCELERATOR_TYPE) == kind
        )

    def has_domain(self, host: Host) -> bool:
        """Whether a host lies in the domain."""
        return self.domain is None or host.labels.get(self.domain[0]) == self.domain[1]


@attrs.frozen(cache_hash=True)
class View:
    """What a request looks at: columns of resources, terms, and how it counts free GPUs.

    GPUs are counted in bundles with `share` of one GPU each: those that fit for certain, or with
    `hopeful` those that fit at best. `scarce` are the columns that the request takes from those who
    use the GPUs that it leaves.
    """

    columns: tuple[str, ...]
    terms: tuple[Term, ...]
    share: int
    scarce: tuple[str, ...] = ()
    hopeful: bool = False

    def room(self, host: Host) -> Row:
        """What is free on a host, by column."""
        return tuple(self._free(host, column) for column in self.columns)

    def _free(self, host: Host, column: str) -> int:
        if column == "GPU":
            count = gpus.possible if self.hopeful else gpus.certain
            return count(host, self.share)
        # Ray lets the free CPU fall below nothing while tasks wait for each other.
        return 1 if column == SEAT else max(0, host.free(column))

    def mask(self, terms: Iterable[Term]) -> int:
        """A set of terms, all of them among ours, as a number with a bit for each."""
        return sum(1 << self.terms.index(term) for term in terms)

    def shelf_of(self, host: Host) -> Shelf | None:
        """The shelf that a host belongs on; `None` if it could take nothing at all."""
        if not host.alive:
            return None
        admits = self.mask(term for term in self.terms if term.admits(host))
        if not admits:
            return None
        return self.room(host), stock_of(host, self.scarce), self._untouched(host), admits

    def _untouched(self, host: Host) -> bool:
        return all(
            host.free(name) == host.total.get(name, 0) for name in self.columns if name != SEAT
        )


class Shelves:
    """The shelves of living hosts that could take any unit at all, the least room first.

    `node_ids[i]` are the hosts on the shelf `shelves[i]`, in order.
    """

    def __init__(self, view: View, shelves: list[Shelf], node_ids: list[tuple[str, ...]]) -> None:
        self.view, self.shelves, self.node_ids = view, shelves, node_ids

    @classmethod
    def of(cls, view: View, hosts: Iterable[Host]) -> Shelves:
        """All hosts on their shelves."""
        found: dict[Shelf, list[str]] = {}
        for host in hosts:
            shelf = view.shelf_of(host)
            if shelf is not None:
                found.setdefault(shelf, []).append(host.node_id)
        shelves = sorted(found)
        return cls(view, shelves, [tuple(found[shelf]) for shelf in shelves])

    def updated(self, changes: Sequence[Change]) -> Shelves:
        """The shelves after some hosts changed."""
        after = self
        for old, new in changes:
            was = None if old is None else self.view.shelf_of(old)
            is_now = None if new is None else self.view.shelf_of(new)
            if was == is_now:
                continue
            if after is self:
                after = Shelves(self.view, [*self.shelves], [*self.node_ids])
            if old is not None and was is not None:
                after._take_off(was, old.node_id)
            if new is not None and is_now is not None:
                after._put_on(is_now, new.node_id)
        return after

    def rooms(self) -> dict[str, Row]:
        """The room on each host, by node id."""
        pairs = zip(self.shelves, self.node_ids, strict=True)
        return {node_id: shelf[0] for shelf, ids in pairs for node_id in ids}

    def able(self, terms: Iterable[Term]) -> int:
        """How many hosts there are that have all of these terms, whatever is free on them."""
        mask = self.view.mask(terms)
        pairs = zip(self.shelves, self.node_ids, strict=True)
        return sum(len(ids) for shelf, ids in pairs if shelf[3] & mask == mask)

    def fitting(self, needs: Row) -> Iterator[int]:
        """The numbers of the shelves that have all of `needs`, the least room first.

        Rooms are sorted column by column, so whatever lies between two of them is jumped over.
        """
        at = bisect_left(self.shelves, (needs,))
        while at < len(self.shelves):
            room = self.shelves[at][0]
            short = next((i for i, need in enumerate(needs) if room[i] < need), None)
            if short is None:
                yield at
                at += 1
            else:
                at = bisect_left(self.shelves, (room[:short] + needs[short:],), lo=at + 1)

    def _take_off(self, shelf: Shelf, node_id: str) -> None:
        at = bisect_left(self.shelves, shelf)
        ids = self.node_ids[at]
        if len(ids) == 1:
            del self.shelves[at], self.node_ids[at]
        else:
            i = bisect_left(ids, node_id)
            self.node_ids[at] = ids[:i] + ids[i + 1 :]

    def _put_on(self, shelf: Shelf, node_id: str) -> None:
        at = bisect_left(self.shelves, shelf)
        if at < len(self.shelves) and self.shelves[at] == shelf:
            ids = self.node_ids[at]
            i = bisect_left(ids, node_id)
            self.node_ids[at] = (*ids[:i], node_id, *ids[i:])
        else:
            self.shelves.insert(at, shelf)
            self.node_ids.insert(at, (node_id,))


def shelves_of(snapshot: ClusterSnapshot, view: View) -> Shelves:
    """The shelves of a snapshot as a request looks at it."""
    return snapshot.derived(view, lambda hosts: Shelves.of(view, hosts))
