"""Finding hosts for units: vector bin packing, small and exact where requests of LLMs are.

The units of an LLM are alike, but for the engine's. So the most frequent kind of unit is never
searched over: counting how often it fits each host decides whether all of it fits. Only the units
of other kinds are placed one by one, the largest first, with backtracking. The search is complete
for a request with few of those; for a long list of different ones it gives up after `STEPS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs

from nodeinit.placement.demand import Unit
from nodeinit.placement.shelves import Row, Shelves
from nodeinit.placement.stranding import stranding

STEPS = 2_000
"""How many hosts are tried for single units before the search gives up."""

GLANCE = 64
"""Among so many kinds of hosts the one is looked for that strands the least; the tightest first."""

_Preference: TypeAlias = tuple[int | Row | bool | str, ...]
"""What orders hosts: the smaller, the better. Ends with the shelf, for what tells hosts apart
otherwise, and the node id, so that no two are equal."""


class GaveUp(Exception):
    """The search ran out of steps: nothing was found, and nothing proven."""


@attrs.define(eq=False)
class _Host:
    """A host that has units of ours, or may get its first; `shelf` is the number of its shelf."""

    node_id: str
    shelf: int
    room: Row
    units: list[int] = attrs.Factory(list)
    count: int = 0  # units of the bulk that it will have


def times(room: Row, needs: Row) -> int:
    """How often a unit with these needs fits into the room of a host."""
    return min(have // need for have, need in zip(room, needs, strict=True) if need)


def _less(room: Row, needs: Row, count: int = 1) -> Row:
    return tuple(have - need * count for have, need in zip(room, needs, strict=True))


def _more(needs: Row, others: Row, count: int) -> Row:
    return tuple(need + other * count for need, other in zip(needs, others, strict=True))


def _least_stranding(waiting: list[tuple[int, _Host]]) -> list[_Host]:
    """The hosts with the least stranding first, otherwise as they came."""
    return [host for _, host in sorted(waiting, key=lambda item: item[0])]


class Packing:
    """One search; `run` answers with the node id of each unit, or `None` when none exists.

    Packing uses few hosts, then those on which the least is stranded, and then the tightest, so that
    whole hosts stay free for large requests; spreading uses many. Hosts with no such difference are
    taken in the order of their ids.
    """

    def __init__(self, units: Sequence[Unit], shelves: Shelves, *, spread: bool) -> None:
        kinds = Counter((unit.needs, unit.terms) for unit in units)
        (self._needs, terms), _ = min(kinds.items(), key=lambda kind: (-kind[1], kind[0][0]))
        self._terms = shelves.view.mask(terms)
        alike = [(unit.needs, unit.terms) == (self._needs, terms) for unit in units]
        self._bulk = [i for i, same in enumerate(alike) if same]
        single = [i for i, same in enumerate(alike) if not same]
        self._singles = sorted(single, key=lambda i: units[i].needs, reverse=True)
        self._masks = {unit.terms: shelves.view.mask(unit.terms) for unit in units}
        self._units, self._shelves, self._spread = units, shelves, spread
        view = shelves.view
        self._scarce = [view.columns.index(name) for name in view.scarce]
        self._opened: list[_Host] = []
        self._used: Counter[int] = Counter()  # hosts taken of each shelf
        self._steps = 0

    def run(self) -> tuple[str, ...] | None:
        """The node id of each unit; `None`: there is no way. Raises `GaveUp`."""
        if not self._bulk_fits() or not self._place(0):
            return None
        self._fill()
        found = {unit: host.node_id for host in self._opened for unit in host.units}
        return tuple(found[i] for i in range(len(self._units)))

    # -- single units ----------------------------------------------------------------------------

    def _place(self, depth: int) -> bool:
        """Place the single units from `depth` on, so that the bulk still fits."""
        if depth == len(self._singles):
            return True
        unit = self._singles[depth]
        for host in self._choices(self._units[unit]):
            self._put(host, unit)
            if self._bulk_fits():
                self._steps += 1
                if self._steps > STEPS:
                    raise GaveUp
                if self._place(depth + 1):
                    return True
            self._take_back(host, unit)
        return False

    def _choices(self, unit: Unit) -> Iterator[_Host]:
        """The hosts that a unit fits, the best first."""
        mask = self._masks[unit.terms]
        opened = [
            host
            for host in self._opened
            if self._admits(host.shelf, mask) and times(host.room, unit.needs)
        ]
        unopened = self._unopened(unit.needs, mask, len(self._bulk))
        if self._spread:
            fresh = next(unopened, None)
            order = sorted(opened, key=lambda host: self._spread_preference(host, unit.needs))
            # Every fresh host has fewer units than any other.
            yield from () if fresh is None else (fresh, *unopened)
            yield from order
        else:
            yield from sorted(opened, key=lambda host: self._pack_preference(host, unit.needs))
            yield from unopened

    def _put(self, host: _Host, unit: int) -> None:
        if not host.units:
            self._open(host)
        host.units.append(unit)
        host.room = _less(host.room, self._units[unit].needs)

    def _take_back(self, host: _Host, unit: int) -> None:
        host.units.remove(unit)
        host.room = _less(host.room, self._units[unit].needs, -1)
        if not host.units:
            self._opened.remove(host)
            self._used[host.shelf] -= 1

    # -- the bulk --------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Give the bulk its hosts: count first, then hand out neighbouring ranks together."""
        missing = len(self._bulk)
        while missing:
            host = self._next(missing)
            count = 1 if self._spread else min(missing, self._fit(host))
            if not host.units and not host.count:
                self._open(host)
            host.room = _less(host.room, self._needs, count)
            host.count += count
            missing -= count
        ranks = iter(self._bulk)
        for host in sorted(self._opened, key=lambda host: 0 not in host.units):
            host.units.extend(next(ranks) for _ in range(host.count))

    def _next(self, missing: int) -> _Host:
        """The best host for so many units of the bulk; there is one."""
        nothing = (0,) * len(self._needs)
        opened = [host for host in self._opened if self._fit(host)]
        if self._spread:
            fresh = next(self._unopened(self._needs, self._terms, 0), None)
            return fresh or min(opened, key=lambda h: self._spread_preference(h, self._needs))
        if opened:
            return min(opened, key=lambda host: self._pack_preference(host, nothing, missing))
        return next(self._unopened(nothing, self._terms, missing))

    def _bulk_fits(self) -> bool:
        """Whether all units of the bulk fit as things stand."""
        missing = len(self._bulk)
        for host in self._opened:
            missing -= self._fit(host)
        for at in reversed(range(len(self._shelves.shelves))):  # the roomiest first
            if missing <= 0:
                break
            hosts = len(self._shelves.node_ids[at]) - self._used[at]
            if hosts and self._admits(at, self._terms):
                missing -= times(self._shelves.shelves[at][0], self._needs) * hosts
        return missing <= 0

    # -- what is better --------------------------------------------------------------------------

    def _pack_preference(self, host: _Host, needs: Row, missing: int | None = None) -> _Preference:
        """How good an opened host is for a unit with these needs, and for the bulk beside it."""
        wanted = len(self._bulk) if missing is None else missing
        room = _less(host.room, needs)
        bulk = self._admits(host.shelf, self._terms)
        count = min(wanted, times(room, self._needs)) if bulk else 0
        taken = _more(needs, self._needs, count)
        stranded = self._stranding(host.shelf, host.room, taken)
        return wanted - count, stranded, _less(host.room, taken), host.shelf, host.node_id

    def _spread_preference(self, host: _Host, needs: Row) -> _Preference:
        return len(host.units) + host.count, _less(host.room, needs), host.shelf, host.node_id

    def _unopened(self, needs: Row, mask: int, wanted: int) -> Iterator[_Host]:
        """A fresh host of each shelf that fits `needs` and these terms, the best first.

        Best are those that also have room for most of so many units of the bulk, then those where
        the least is stranded, and then those with the least room: untouched ones last, and in the
        order of their ids.
        """
        if self._spread:
            wanted = 0
        most = wanted
        if self._needs[0] and self._shelves.shelves:
            # No shelf has more GPUs than the last.
            most = min(most, max(0, self._shelves.shelves[-1][0][0] // self._needs[0]))
        for count in range(most, -1, -1):
            taken = _more(needs, self._needs, count)
            waiting: list[tuple[int, _Host]] = []
            for alike in self._alike(self._shelves.fitting(taken)):
                fitting = [at for at in alike if self._offers(at, needs, mask, count, wanted)]
                for host in sorted(map(self._fresh, fitting), key=lambda h: h.node_id):
                    stranded = self._stranding(host.shelf, host.room, taken)
                    if stranded:
                        waiting.append((stranded, host))
                    else:
                        yield host
                if len(waiting) >= GLANCE:
                    yield from _least_stranding(waiting)
                    waiting = []
            yield from _least_stranding(waiting)

    def _stranding(self, shelf: int, room: Row, taken: Row) -> int:
        """How much GPU is stranded on a host with this room by taking so much of it."""
        if not self._scarce:
            return 0
        before, stock, *_ = self._shelves.shelves[shelf]
        share = self._shelves.view.share
        return stranding(
            stock,
            stock[0] - (before[0] - room[0]) * share if stock else 0,
            taken[0] * share,
            (room[i] for i in self._scarce),
            (taken[i] for i in self._scarce),
        )

    def _alike(self, numbers: Iterable[int]) -> Iterator[list[int]]:
        """Neighbouring shelves that differ only in their terms."""
        alike: list[int] = []
        for at in numbers:
            if alike and self._shelves.shelves[alike[0]][:3] != self._shelves.shelves[at][:3]:
                yield alike
                alike = []
            alike.append(at)
        if alike:
            yield alike

    def _offers(self, at: int, needs: Row, mask: int, count: int, wanted: int) -> bool:
        """Whether a shelf has a fresh host for a unit and exactly so many (or all) of the bulk."""
        if len(self._shelves.node_ids[at]) == self._used[at] or not self._admits(at, mask):
            return False
        if not self._admits(at, self._terms):
            return count == 0
        room = _less(self._shelves.shelves[at][0], needs)
        return count == wanted or times(room, self._needs) == count

    def _fresh(self, at: int) -> _Host:
        return _Host(self._shelves.node_ids[at][self._used[at]], at, self._shelves.shelves[at][0])

    def _admits(self, at: int, mask: int) -> bool:
        return self._shelves.shelves[at][3] & mask == mask

    def _fit(self, host: _Host) -> int:
        return times(host.room, self._needs) if self._admits(host.shelf, self._terms) else 0

    def _open(self, host: _Host) -> None:
        self._opened.append(host)
        self._used[host.shelf] += 1
