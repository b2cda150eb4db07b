"""Which single GPUs are free, by following who comes and who goes.

Ray reports sums. Whoever sees every group come and go can tell more: a host cuts a share of a GPU
where the least is left and gives it back where it was cut. What changes too much between two looks
to be followed is left unknown, until the host is whole again or its slices leave no doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from nodeinit.placement.amounts import UNIT
from nodeinit.placement.hosts import Host
from nodeinit.placement.topology import ClusterSnapshot


@attrs.frozen
class Book:
    """The GPUs of one host: what is free of each, and on which of them each group has what.

    `held` maps group id to the places and shares of its bundles; a place is an index into `free`.
    """

    free: tuple[int, ...]
    held: Mapping[str, tuple[tuple[int, int], ...]] = attrs.field(factory=dict)

    def come(self, group_id: str, shares: Iterable[int]) -> Book | None:
        """The book with a group more, as Ray's host serves it; `None` if that cannot be."""
        free, places = list(self.free), []
        for share in shares:
            fitting = [i for i, left in enumerate(free) if left >= share]
            if not fitting:
                return None
            at = min(fitting, key=free.__getitem__)
            free[at] -= share
            places.append((at, share))
        return Book(tuple(free), {**self.held, group_id: tuple(places)})

    def go(self, group_id: str) -> Book:
        """The book when a group has given back what it held."""
        free, held = list(self.free), dict(self.held)
        for at, share in held.pop(group_id):
            free[at] += share
        return Book(tuple(free), held)


@attrs.frozen
class Ledger:
    """The books of all hosts whose GPUs are known, by node id."""

    books: Mapping[str, Book] = attrs.field(factory=dict)

    def follow(self, snapshot: ClusterSnapshot) -> tuple[Ledger, ClusterSnapshot]:
        """The ledger after the next look at the cluster, and that look with the GPUs it knows."""
        groups: dict[str, dict[str, tuple[int, ...]]] = {}
        for group in snapshot.groups:
            for node_id in {node_id for node_id in group.assigned if node_id is not None}:
                shares = tuple(bundle.gpu for bundle in group.on(node_id) if bundle.gpu)
                if shares:
                    groups.setdefault(node_id, {})[group.group_id] = shares
        books, known = {}, []
        for host in snapshot.alive:
            shares_of = groups.get(host.node_id, {})
            if not host.total.get("GPU"):
                continue
            book = self._followed(host, shares_of) or _opened(host, shares_of)
            if book is not None:
                books[host.node_id] = book
                if host.uncertain:
                    known.append(attrs.evolve(host, gpus=book.free, slices=()))
        return Ledger(books), snapshot.after(known) if known else snapshot

    def _followed(self, host: Host, shares_of: Mapping[str, tuple[int, ...]]) -> Book | None:
        """The book of a host after what came and went; `None` where that is not to be told."""
        book = self.books.get(host.node_id)
        if book is None:
            return None
        gone = [g for g in book.held if g not in shares_of and g != _OTHERS]
        new = [group_id for group_id in shares_of if group_id not in book.held]
        cut = any(share % UNIT for group_id in new for share in shares_of[group_id])
        if cut and len(gone) + len(new) > 1:
            return None  # in which order they came and went, decides
        for group_id in gone:
            book = book.go(group_id)
        for group_id in new:
            after = book.come(group_id, shares_of[group_id])
            if after is None:
                return None
            book = after
        return _squared(book, host)


def _opened(host: Host, shares_of: Mapping[str, tuple[int, ...]]) -> Book | None:
    """A book for a host whose GPUs can be cut in one way only."""
    if host.uncertain:
        return None
    book: Book | None = Book((UNIT,) * (int(host.total.get("GPU", 0)) // UNIT))
    for group_id, shares in shares_of.items():
        book = book and book.come(group_id, shares)
    return book and _squared(book, host)


def _squared(book: Book, host: Host) -> Book | None:
    """The book, squared with what Ray says is free: others come and go too, without a group.

    They have whole GPUs, any of them; with parts of one the book no longer tells the truth.
    """
    book = book.go(_OTHERS) if _OTHERS in book.held else book
    missing = sum(book.free) - host.free("GPU")
    if missing < 0 or missing % UNIT:
        return None
    return book.come(_OTHERS, (UNIT,) * (missing // UNIT)) if missing else book


_OTHERS = ""
"""Stands for tasks and actors that hold GPUs without a group."""
