"""Removing a group of Ray so that nothing of it is left: settle, remove, wait until all is back.

* A group that is removed while Ray is placing it can leak its GPUs for good
  (ray-project/ray#64693): it is removed between two tries.
* A removed group's resources come back 20 to 110 ms after its removal; a group that is created in
  between waits for Ray's next tick, a second later. So a removal ends when they are back.
* A group that Ray reschedules can block every other group of the cluster (ray-project/ray#65970):
  it is removed at once.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import attrs

from nodeinit.errors import TemporaryError
from nodeinit.ray import group_rows, groups, hosts, room
from nodeinit.ray.group_rows import Row
from nodeinit.ray.polling import Call, in_time
from nodeinit.ray.room import Amounts

log = logging.getLogger("nodeinit.ray")

_SETTLE = 3.0  # seconds until a try to place a group is over; there is one every second
_TRY = 0.05  # seconds for a try of Ray to place a group
_GONE = 5.0  # seconds for a group to be removed, when Ray was told to
_BACK = 2.0  # seconds until resources are back; others may have taken them

_AT_REST = (group_rows.CREATED, group_rows.REMOVED, group_rows.RESCHEDULING)


@attrs.frozen
class _Leaving:
    """A group on its way out: what it held, and what was free beside it."""

    row: Row
    held: Amounts
    before: Amounts


def remove_from_any_thread(group_id: str) -> None:
    """Remove a group as `Removals` does, blocking, also where an event loop runs."""
    with ThreadPoolExecutor(1, "nodeinit-removal") as thread:
        thread.submit(asyncio.run, Removals(asyncio.to_thread).remove(group_id)).result()


class Removals:
    """Removes groups. A removal that was cut short goes on where it was when it is repeated."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._leaving: dict[str, _Leaving] = {}

    async def remove(self, group_id: str) -> None:
        """Remove a group, whoever made it; one that is gone is fine.

        Raises `TemporaryError` when Ray does not do it.
        """
        leaving = self._leaving.get(group_id)
        if leaving is None:
            row = await self._settled(group_id)
            if row is None or row.state == group_rows.REMOVED:
                return
            held = room.held_by(row)
            leaving = _Leaving(row, held, await self._call(hosts.free_on, held))
            self._leaving[group_id] = leaving
        await self._call(groups.remove, group_id)
        if not await in_time(_GONE, self._is_gone, group_id):
            name = leaving.row.name or group_id
            raise TemporaryError(f"Ray did not remove the placement group {name}")
        if not await in_time(_BACK, self._is_back, leaving):
            log.debug("what the group %s held is still in use after %g s", group_id, _BACK)
        self._leaving.pop(group_id, None)

    async def _settled(self, group_id: str) -> Row | None:
        """The group at a moment when Ray is not about to place it, if there is one soon.

        Ray says when it begins a try but not when a later one ends; that takes it milliseconds, and
        there is a second between two of them.
        """
        first: Row | None = None
        row: Row | None = None

        async def is_settled() -> bool:
            nonlocal first, row
            row = await self._call(group_rows.read, group_id)
            if row is None or row.state in _AT_REST or row.reason == group_rows.INFEASIBLE:
                return True
            if row.state != "PENDING" or row.reason == group_rows.QUEUED:
                return False
            first = first or row
            if row.tries == first.tries:
                return False
            await asyncio.sleep(_TRY)
            row = await self._call(group_rows.read, group_id)  # that try may have succeeded
            return True

        await in_time(_SETTLE, is_settled)
        return row

    async def _is_gone(self, group_id: str) -> bool:
        row: Row | None = await self._call(group_rows.read, group_id)
        return row is None or row.state == group_rows.REMOVED

    async def _is_back(self, leaving: _Leaving) -> bool:
        free = await self._call(hosts.free_on, leaving.held)
        return room.is_back(leaving.held, leaving.before, free)
