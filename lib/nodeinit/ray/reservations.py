"""Reserving a plan with Ray, and giving it back, so that nothing is ever left behind.

Every bundle is pinned to its host, unless the plan leaves Ray a choice: what Ray cannot place it
says at once or is asked about. Before a group is made, a note on the cluster says whose it is;
when it is gone, so is the note. `PlacementGroup.wait` counts whole seconds, so the table is read
instead. How a group is removed is a matter of its own (`nodeinit.ray.removal`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nodeinit.clusters.base import Displaced
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.placement.topology import Bundle, Placement, PlacementPlan
from nodeinit.ray import group_notes, group_rows, groups, room
from nodeinit.ray.group_rows import Row
from nodeinit.ray.polling import Call, Ticker
from nodeinit.ray.removal import Removals
from nodeinit.ray.shield import clean_up, within

log = logging.getLogger("nodeinit.ray")

_CREATE = 10.0  # seconds for a call that creates a group, before it counts as lost
_STALE = 0.3  # seconds for which what is said to be free may be out of date
_PATIENCE = 15.0  # seconds without progress although all that is asked for is free


class Reservations:
    """The groups that this process made, by name."""

    def __init__(self, call: Call, removals: Removals) -> None:
        self._call = call
        self._removals = removals
        self._made: dict[str, asyncio.Future[str]] = {}

    async def reserve(self, plan: PlacementPlan, name: str) -> Placement:
        """See `Cluster.reserve`."""
        return await self._reserve(plan, name, self._stir)

    async def _reserve(
        self, plan: PlacementPlan, name: str, after_refusal: Callable[..., Awaitable[None]]
    ) -> Placement:
        # In a task of its own: a cancel must not lose the id of a group that is being created.
        creating = asyncio.ensure_future(self._call(_create, plan, name))
        self._made[name] = creating
        try:
            group_id: str = await asyncio.shield(creating)
            return await self._placed(group_id, plan)
        except BaseException:
            giving_up = self._give_up(plan, name, after_refusal)
            await clean_up(giving_up, f"giving back {name}")
            raise

    async def _give_up(
        self, plan: PlacementPlan, name: str, after_refusal: Callable[..., Awaitable[None]]
    ) -> None:
        """Remove a group that is not wanted any more, and a wrong belief about its hosts with it.

        A host that refuses its first bundle reports nothing, since nothing has changed there; and
        Ray goes on believing that the bundles are on it.
        """
        refused = False
        try:
            refused = await self._was_refused(name)
        finally:
            await self._take_back(name)
        if refused:
            await after_refusal(plan.hosts, f"{name}-stir")

    async def _was_refused(self, name: str) -> bool:
        creating = self._made[name]
        if not await within(creating, _CREATE) or creating.cancelled() or creating.exception():
            return False
        row: Row | None = await self._call(group_rows.read, creating.result())
        return (
            row is not None
            and row.state == "PENDING"
            and row.tries > 0
            and row.reason not in (group_rows.QUEUED, group_rows.INFEASIBLE)
        )

    async def _stir(self, hosts: tuple[str, ...], name: str) -> None:
        """Have hosts report what is free, by taking a byte of their memory and giving it back."""
        byte = PlacementPlan((Bundle.of(memory=1),) * len(hosts), hosts)
        try:
            await self._reserve(byte, name, _nothing)
        except Displaced as displaced:  # a host died: it has nothing to report
            log.debug("%s: %s", name, displaced)
        else:
            await self.remove(name)

    async def remove(self, name: str) -> None:
        """See `Cluster.remove`. The group may be one of a process that is no more.

        One of that name whose owner is alive elsewhere is not ours to remove.
        """
        if name in self._made and await self._take_back(name):
            return
        for note in await self._call(group_notes.ours, name):
            for row in await self._call(group_notes.groups_of, note):
                # From here on as if it were made here: a removal may be cut short and repeated.
                self._made[name] = asyncio.get_running_loop().create_future()
                self._made[name].set_result(row.group_id)
                await self._take_back(name)
            await self._call(group_notes.erase, note)

    async def observe(self, group: Any) -> Placement:
        """See `Cluster.observe`."""
        group_id = groups.id_of(group)
        tick = Ticker()
        while True:
            await tick()
            row: Row | None = await self._call(group_rows.read, group_id)
            if row is None or row.state == group_rows.REMOVED:
                raise PermanentError(
                    f"the placement group {row.name if row else ''}({group_id}) was removed, or "
                    "never was on this cluster"
                )
            if row.state == group_rows.CREATED:
                return row.as_placement(adopted=True)

    async def _placed(self, group_id: str, plan: PlacementPlan) -> Placement:
        """Wait until the group is created. Raises `Displaced` when it will not be."""
        now = asyncio.get_running_loop().time
        began = now()
        short_since: float | None = None
        tick = Ticker()
        while True:
            await tick()
            row: Row | None = await self._call(group_rows.read, group_id)
            if row is None or row.state == group_rows.REMOVED:
                raise Displaced("somebody removed the group while it was being placed")
            if row.state == group_rows.CREATED:
                return row.as_placement(adopted=False)
            if row.state == group_rows.RESCHEDULING:
                raise Displaced("a host of the plan was lost while the group was being placed")
            if row.reason == group_rows.INFEASIBLE:
                raise Displaced(
                    await self._call(room.lacking, plan) or "a host of the plan is gone"
                )
            impatient = now() - began > _PATIENCE
            if row.reason == group_rows.QUEUED:
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
            await self._removals.remove(creating.result())
            await self._call(group_notes.erase_own, name)
        self._made.pop(name, None)
        return True


async def _nothing(hosts: tuple[str, ...], name: str) -> None:
    """After a refusal of so little there is nothing more to do."""


def _create(plan: PlacementPlan, name: str) -> str:
    """Note whose group it will be, then ask for it."""
    noted = group_notes.leave(name)
    try:
        return groups.create(plan, name)
    except NodeInitError:  # Ray made none; of any other error nobody knows
        if noted:
            group_notes.erase_own(name)
        raise


def _what_blocks() -> str:
    """Why Ray does not even try: it takes groups one by one, and some are tried without a pause."""
    rows = group_rows.LiveRows().read()
    stuck = [row.name or row.group_id for row in rows if row.state == group_rows.RESCHEDULING]
    busy = f"; it is busy with groups that lost a host: {', '.join(stuck)}" if stuck else ""
    return f"Ray has not tried to place the group for {_PATIENCE:g} s{busy}"
