"""A check-up of a cluster: what waits and may block others, what is left over, what does not add up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import attrs

from nodeinit.errors import NodeInitError
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.ray import books, group_notes, group_rows
from nodeinit.ray.books import Gap
from nodeinit.ray.fetches import Fetches
from nodeinit.ray.group_rows import LiveRows, Row
from nodeinit.ray.leftovers import Kind, Leftover, leftovers
from nodeinit.ray.polling import Call
from nodeinit.ray.removal import Removals
from nodeinit.ray.snapshots import Snapshots

_APART = 0.5  # seconds between two looks: what Ray says to be free lags behind by a tenth of that


@attrs.frozen
class Waiting:
    """A group that is not placed. `age` is how long ago it was made, in seconds.

    `rate` is how often Ray tries to place it, per second. One that lost a host and finds no room
    elsewhere is tried without a pause and before all others, which wait meanwhile
    (ray-project/ray#65970).
    """

    row: Row
    age: float
    rate: float

    @property
    def blocks(self) -> bool:
        """Whether it may keep other groups from being placed."""
        lost = self.row.state == group_rows.RESCHEDULING
        return lost and self.row.reason != group_rows.INFEASIBLE


@attrs.frozen
class Checkup:
    """How a cluster is."""

    snapshot: ClusterSnapshot
    waiting: tuple[Waiting, ...]
    leftovers: tuple[Leftover, ...]
    gaps: tuple[Gap, ...]


async def examine(call: Call, snapshots: Snapshots) -> Checkup:
    """Look twice at the cluster, and say what was so both times. Takes about a second."""
    before: tuple[Row, ...] = await call(LiveRows().read)
    first: set[Gap] = set(await call(_gaps, snapshots))
    await asyncio.sleep(_APART)
    after: tuple[Row, ...] = await call(LiveRows().read)
    second: tuple[Gap, ...] = await call(_gaps, snapshots)
    tries = {row.group_id: row.tries for row in before}
    waiting = tuple(
        Waiting(
            row,
            age=max(0.0, time.time() - row.created),
            rate=max(0, row.tries - tries[row.group_id]) / _APART,
        )
        for row in after
        if row.state != group_rows.CREATED and row.group_id in tries
    )
    return Checkup(
        snapshot=await call(snapshots.take),
        waiting=waiting,
        leftovers=await call(leftovers, after),
        gaps=tuple(gap for gap in second if gap in first),
    )


async def sweep(
    call: Call, removals: Removals, fetches: Fetches, found: Iterable[Leftover]
) -> tuple[tuple[Leftover, str], ...]:
    """Remove exactly these leftovers and their notes; answers those that stay, each with why."""
    failed = []
    for leftover in found:
        try:
            await _remove(call, removals, fetches, leftover)
        except NodeInitError as error:
            failed.append((leftover, str(error)))
    return tuple(failed)


async def _remove(call: Call, removals: Removals, fetches: Fetches, leftover: Leftover) -> None:
    if leftover.kind is Kind.FETCH:
        await fetches.stop(leftover.name)
        return
    if leftover.row is not None:
        await removals.remove(leftover.row.group_id)
    if leftover.note is not None:
        await call(group_notes.erase, leftover.note)


def _gaps(snapshots: Snapshots) -> tuple[Gap, ...]:
    return books.gaps(snapshots.take(), books.outsiders())
