"""Reserving a plan with Ray, and giving it back, so that nothing is ever left behind.

Every bundle is pinned to its host: Ray has no choice left, and what it cannot place it says at once
or is asked about. The rules that are kept here for Ray's sake:

* A group that is removed while Ray is placing it can leak its GPUs for good
  (ray-project/ray#64693): it is removed between two tries.
* `PlacementGroup.wait` counts whole seconds, so the table is read instead.
* A removed group's resources come back 20 to 110 ms after its removal; a group that is created in
  between waits for Ray's next tick, a second later. So a removal ends when they are back.
* A group that Ray reschedules can block every other group of the cluster (ray-project/ray#65970):
  it is removed at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from nodeinit.clusters.base import Displaced
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.placement.topology import Placement, PlacementPlan
from nodeinit.ray import groups, hosts, room
from nodeinit.ray.polling import Call, Ticker, in_time
from nodeinit.ray.shield import clean_up, within

log = logging.getLogger("nodeinit.ray")

_CREATE = 10.0  # seconds for a call that creates a group, before it counts as lost
_SETTLE = 3.0  # seconds until a try to place a group is over; there is one every second
_TRY = 0.05  # seconds for a try of Ray to place a group
_GONE = 5.0  # seconds for a group to be removed, when Ray was told to
_BACK = 2.0  # seconds until resources are back; others may have taken them
_STALE = 0.3  # seconds for which what is said to be free may be out of date
_PATIENCE = 15.0  # seconds without progress although all that is asked for is free

_AT_REST = (groups.CREATED, groups.REMOVED, groups.RESCHEDULING)


class Reservations:
    """The groups that this process made, by name."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._made: dict[str, asyncio.Future[str]] = {}

    async def reserve(self, plan: PlacementPlan, name: str) -> Placement:
        """See `Cluster.reserve`."""
        # In a task of its own: a cancel must not lose the id of a group that is being created.
        creating = asyncio.ensure_future(self._call(groups.create, plan, name))
        self._made[name] = creating
        try:
            group_id: str = await asyncio.shield(creating)
            return await self._placed(group_id, plan)
        except BaseException:
            await clean_up(self._take_back(name), f"giving back {name}")
            raise

    async def remove(self, name: str) -> None:
        """See `Cluster.remove`. The group may be one of a process that is no more."""
        if name in self._made and await self._take_back(name):
            return
        for row in await self._call(groups.live):
            if row.name == name:
                await self._remove(row.group_id)

    async def observe(self, group: Any) -> Placement:
        """See `Cluster.observe`."""
        group_id = groups.id_of(group)
        tick = Ticker()
        while True:
            await tick()
            row: groups.Row | None = await self._call(groups.read, group_id)
            if row is None or row.state == groups.REMOVED:
                raise PermanentError(
                    f"the placement group {row.name if row else ''}({group_id}) was removed, or "
                    "never was on this cluster"
                )
            if row.state == groups.CREATED:
                return row.as_placement(adopted=True)

    async def _placed(self, group_id: str, plan: PlacementPlan) -> Placement:
        """Wait until the group is created. Raises `Displaced` when it will not be."""
        now = asyncio.get_running_loop().time
        began = now()
        short_since: float | None = None
        tick = Ticker()
        while True:
            await tick()
            row: groups.Row | None = await self._call(groups.read, group_id)
            if row is None or row.state == groups.REMOVED:
                raise Displaced("somebody removed the group while it was being placed")
            if row.state == groups.CREATED:
                return row.as_placement(adopted=False)
            if row.state == groups.RESCHEDULING:
                raise Displaced("a host of the plan was lost while the group was being placed")
            if row.reason == groups.INFEASIBLE:
                raise Displaced(
                    await self._call(room.lacking, plan) or "a host of the plan is gone"
                )
            impatient = now() - began > _PATIENCE
            if row.reason == groups.QUEUED:
                if impatient:
                    raise TemporaryError(await self._call(_what_blocks))
                continue
            lacking = await self._call(room.lacking, plan)
            if lacking is None:
                short_since = None
                if impatient:
                    raise Displaced(
                        f"Ray refused the plan {row.tries} times although every host has what it "
                        "needs in sum; shares of single GPUs may be too scattered"
                    )
                continue
            # What Ray says to be free lags behind: believe it when it goes on saying so.
            short_since = now() if short_since is None else short_since
            if now() - short_since >= _STALE:
                raise Displaced(lacking)

    async def _take_back(self, name: str) -> bool:
        """Remove a group that was made here, if it was; whether that is known."""
        creating = self._made[name]
        if not await within(creating, _CREATE):
            log.warning("Ray did not say in %g s whether it created the group %s", _CREATE, name)
            return False
        if not creating.cancelled() and creating.exception() is None:
            await self._remove(creating.result())
        self._made.pop(name, None)
        return True

    async def _remove(self, group_id: str) -> None:
        """Settle, remove, and wait until it is gone and its resources are back."""
        row = await self._settled(group_id)
        if row is None or row.state == groups.REMOVED:
            return
        held = room.held_by(row)
        before = await self._call(hosts.free_on, held)
        await self._call(groups.remove, group_id)
        if not await in_time(_GONE, self._is_gone, group_id):
            raise TemporaryError(f"Ray did not remove the placement group {row.name or group_id}")

        async def is_back() -> bool:
            return room.is_back(held, before, await self._call(hosts.free_on, held))

        if not await in_time(_BACK, is_back):
            log.debug("what the group %s held is still in use after %g s", group_id, _BACK)

    async def _settled(self, group_id: str) -> groups.Row | None:
        """The group at a moment when Ray is not about to place it, if there is one soon.

        Ray says when it begins a try but not when a later one ends; that takes it milliseconds, and
        there is a second between two of them.
        """
        first: groups.Row | None = None
        row: groups.Row | None = None

        async def is_settled() -> bool:
            nonlocal first, row
            row = await self._call(groups.read, group_id)
            if row is None or row.state in _AT_REST or row.reason == groups.INFEASIBLE:
                return True
            if row.state != "PENDING" or row.reason == groups.QUEUED:
                return False
            first = first or row
            if row.tries == first.tries:
                return False
            await asyncio.sleep(_TRY)
            return True

        await in_time(_SETTLE, is_settled)
        return row

    async def _is_gone(self, group_id: str) -> bool:
        row = await self._call(groups.read, group_id)
        return row is None or row.state == groups.REMOVED


def _what_blocks() -> str:
    """Why Ray does not even try: it takes groups one by one, and some are tried without a pause."""
    stuck = [row.name or row.group_id for row in groups.live() if row.state == groups.RESCHEDULING]
    busy = f"; it is busy with groups that lost a host: {', '.join(stuck)}" if stuck else ""
    return f"Ray has not tried to place the group for {_PATIENCE:g} s{busy}"
