"""Finding hosts for units: vector bin packing, small and exact where requests of LLMs are.

The units of an LLM are alike, but for the engine's. So the most frequent kind of unit is never
searched over: counting how often it fits each host decides whether all of it fits. Only the units
of other kinds are placed one by one, the largest first, with backtracking. The search is complete
for a request with few of those; for a long list of different ones it gives up after `STEPS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import attrs

from nodeinit.placement.demand import Row, Shelf, Unit

STEPS = 2_000
"""How many hosts are tried for single units before the search gives up."""

_Preference: TypeAlias = tuple[int | Row | bool | str, ...]
"""What orders hosts: the smaller, the better. Ends with the node id, so that no two are equal."""


class GaveUp(Exception):
    """The search ran out of steps: nothing was found, and nothing proven."""


@attrs.define
class _Open:
    """A host that has units of ours, or just got its first."""

    node_id: str
    shelf: int
    room: Row
    units: list[int]


def times(room: Row, needs: Row) -> int:
    """How often a unit with these needs fits into the room of a host."""
    return min(have // need for have, need in zip(room, needs, strict=True) if need)


def _less(room: Row, needs: Row, count: int = 1) -> Row:
    return tuple(have - need * count for have, need in zip(room, needs, strict=True))


class Packing:
    """One search; `run` answers with the node id of each unit, or `None` when none exists.

    Packing uses few hosts and then the tightest, so that whole hosts stay free for large requests;
    spreading uses many. Hosts with neither difference are taken in the order of their ids.
    """

    def __init__(self, units: Sequence[Unit], shelves: Sequence[Shelf], *, spread: bool) -> None:
        kinds = Counter((unit.needs, unit.terms) for unit in units)
        (self._needs, self._terms), _ = min(kinds.items(), key=lambda kind: (-kind[1], kind[0][0]))
        alike = [(u.needs, u.terms) == (self._needs, self._terms) for u in units]
        self._bulk = [i for i, same in enumerate(alike) if same]
        single = [i for i, same in enumerate(alike) if not same]
        self._singles = sorted(single, key=lambda i: units[i].needs, reverse=True)
        self._units, self._shelves, self._spread = units, shelves, spread
        self._opened: list[_Open] = []
        self._used = [0] * len(shelves)
        self._steps = 0

    def run(self) -> tuple[str, ...] | None:
        """The node id of each unit; `None`: there is no way. Raises `GaveUp`."""
        if self._capacity() < len(self._bulk) or not self._place(0):
            return None
        self._fill()
        found = {unit: host.node_id for host in self._opened for unit in host.units}
        return tuple(found[i] for i in range(len(self._units)))

    def _place(self, depth: int) -> bool:
        """Place the single units from `depth` on, so that the bulk still fits."""
        if depth == len(self._singles):
            return True
        unit = self._singles[depth]
        for host in self._choices(self._units[unit]):
            self._put(host, unit)
            if self._capacity() >= len(self._bulk):
                self._steps += 1
                if self._steps > STEPS:
                    raise GaveUp
                if self._place(depth + 1):
                    return True
            self._take_back(host, unit)
        return False

    def _choices(self, unit: Unit) -> list[_Open]:
        """The hosts that a unit fits, the best first."""
        fitting = [
            host
            for host in self._candidates()
            if unit.terms <= self._shelves[host.shelf].admits and times(host.room, unit.needs)
        ]
        return sorted(
            fitting, key=lambda host: self._preference(host, _less(host.room, unit.needs))
        )

    def _preference(self, host: _Open, room: Row) -> _Preference:
        """How good a host is for a unit that leaves it with `room`: what comes first, decides."""
        shelf = self._shelves[host.shelf]
        if self._spread:
            return (len(host.units), room, shelf.untouched, host.node_id)
        wanted = len(self._bulk)
        count = min(wanted, self._fit(host.shelf, room))
        left = _less(room, self._needs, count)
        return (not host.units, wanted - count, left, shelf.untouched, host.node_id)

    def _fill(self) -> None:
        """Give the bulk its hosts: count first, then hand out neighbouring ranks together."""
        counts: Counter[str] = Counter()
        missing = len(self._bulk)
        while missing:
            fitting = [host for host in self._candidates() if self._fit(host.shelf, host.room)]
            best = min(fitting, key=lambda host: self._bulk_preference(host, counts, missing))
            count = 1 if self._spread else min(missing, self._fit(best.shelf, best.room))
            if not counts[best.node_id] and not best.units:
                self._open(best)
            best.room = _less(best.room, self._needs, count)
            counts[best.node_id] += count
            missing -= count
        ranks = iter(self._bulk)
        for host in sorted(self._opened, key=lambda host: 0 not in host.units):
            host.units.extend(next(ranks) for _ in range(counts[host.node_id]))

    def _bulk_preference(self, host: _Open, counts: Counter[str], missing: int) -> _Preference:
        untouched = self._shelves[host.shelf].untouched
        ours = len(host.units) + counts[host.node_id]
        if self._spread:
            return (ours, _less(host.room, self._needs), untouched, host.node_id)
        count = min(missing, self._fit(host.shelf, host.room))
        left = _less(host.room, self._needs, count)
        return (not ours, missing - count, left, untouched, host.node_id)

    def _candidates(self) -> Iterator[_Open]:
        """Every opened host, and of each shelf the next one that is not."""
        yield from self._opened
        for i, shelf in enumerate(self._shelves):
            if self._used[i] < len(shelf.node_ids):
                yield _Open(shelf.node_ids[self._used[i]], i, shelf.room, [])

    def _fit(self, shelf: int, room: Row) -> int:
        return times(room, self._needs) if self._terms <= self._shelves[shelf].admits else 0

    def _capacity(self) -> int:
        """How many units of the bulk fit as things stand."""
        opened = sum(self._fit(host.shelf, host.room) for host in self._opened)
        return opened + sum(
            self._fit(i, shelf.room) * (len(shelf.node_ids) - self._used[i])
            for i, shelf in enumerate(self._shelves)
        )

    def _open(self, host: _Open) -> None:
        self._opened.append(host)
        self._used[host.shelf] += 1

    def _put(self, host: _Open, unit: int) -> None:
        if not host.units:
            self._open(host)
        host.units.append(unit)
        host.room = _less(host.room, self._units[unit].needs)

    def _take_back(self, host: _Open, unit: int) -> None:
        host.units.remove(unit)
        needs = self._units[unit].needs
        host.room = _less(host.room, needs, -1)
        if not host.units:
            self._opened.remove(host)
            self._used[host.shelf] -= 1
