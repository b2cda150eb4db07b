"""Hosts that fetch one model at the same time: they agree before the first byte, and help each other.

The driver's side. Every host says what it found; only when all have, and none lacks room, does any
begin. How they fetch follows from what all of them said.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Generic, TypeVar

from nodeinit.clusters import base
from nodeinit.clusters.base import FetchJob
from nodeinit.download.sources import shown
from nodeinit.download.strategy import AUTO, Found, Strategy, choose
from nodeinit.download.swarm.coordinator import Coordinator
from nodeinit.errors import TemporaryError
from nodeinit.ray.ways import Way

log = logging.getLogger("nodeinit.ray.fetch")

T = TypeVar("T")


class Team:
    """The hosts of one download phase, by node id."""

    def __init__(self, team: base.Team, job: FetchJob) -> None:
        self.members = team.node_ids
        self.sign = secrets.token_hex(8)
        self._token = secrets.token_hex(16)
        self.swarm = Coordinator(self.members)
        self._setting = job.ctx.llm_config.nodeinit.download.strategy
        self._source = job.manifest.source
        self._model = job.manifest.model_id
        self._looked = _Meeting[Found](self.members)
        self._seen = _Meeting[Found](self.members)
        self._inside: set[str] = set()

    def enter(self, node_id: str) -> None:
        """A host has begun."""
        self._inside.add(node_id)

    def leave(self, node_id: str) -> bool:
        """A host has ended, one way or the other; whether it was the last one."""
        self.swarm.left(node_id)
        self._looked.miss(node_id)
        self._seen.miss(node_id)
        self._inside.discard(node_id)
        return not self._inside

    async def all_looked(self, node_id: str, found: Found) -> bool:
        """Wait until all hosts have looked; whether they should look for the first one's sign."""
        everyone = await self._looked.come(node_id, found)
        asked = self._setting in (AUTO, Strategy.SHARED)
        return asked and len(everyone) > 1 and any(one.lacks for one in everyone)

    async def agree(self, node_id: str, found: Found) -> Way:
        """Wait until all hosts have said all they know; what they do then."""
        choice = choose(self._setting, self._source, await self._seen.come(node_id, found))
        if node_id == self.members[0]:
            log.info("%s from %s: %s", self._model, shown(self._source), choice)
        return Way(choice, self._token, self.sign)


class _Meeting(Generic[T]):
    """Where hosts wait for each other, each with something to tell all."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self._members = members
        self._told: dict[str, T] = {}
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def come(self, member: str, tells: T) -> list[T]:
        """Wait for the others; what all tell, in their order. Raises when one will not come."""
        self._told[member] = tells
        if len(self._told) == len(self._members) and not self._over.done():
            self._over.set_result(None)
        await asyncio.shield(self._over)
        return [self._told[name] for name in self._members]

    def miss(self, member: str) -> None:
        """A member will not come: nobody should wait for it."""
        if member not in self._told and not self._over.done():
            self._over.set_exception(TemporaryError("another host failed before it fetched"))
            self._over.exception()  # seen: perhaps nobody waits
