"""Bringing files to hosts: the driver's side of a fetch.

A fetch is an actor on its host. It is watched while it works, told to stop when the call is
cancelled, waited for, and killed in the end; what it may have left half-written is traced on the
cluster, so that any process can clear it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import ray

from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.context import NodeReport
from nodeinit.download.strategy import Found
from nodeinit.download.swarm.coordinator import Coordinator
from nodeinit.download.swarm.words import Orders
from nodeinit.download.watch import Stopped
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.ray import hosts, owners, workers
from nodeinit.ray.answers import Lost, explained, naming, unpacked
from nodeinit.ray.host_actor import How
from nodeinit.ray.polling import Call, in_time, seen
from nodeinit.ray.shield import clean_up, within
from nodeinit.ray.shipping import Parcel, pack
from nodeinit.ray.teams import Team
from nodeinit.ray.users import Users
from nodeinit.ray.ways import Way

log = logging.getLogger("nodeinit.ray.fetch")

T = TypeVar("T")

_POLL = 0.2  # seconds between two questions how far a host is
_LOOK = 0.5  # seconds between two looks at whether the host is alive
_START = 60.0  # seconds for a process to start on a host
_START_ENV = 900.0  # the same, when Ray has to build an environment for it first
_ACKNOWLEDGE = 8.0  # seconds for a host to stop what it was told to
_DIE = 3.0  # seconds for a process to be dead, when Ray was told to kill it
_LIVES = 3  # processes, one after the other, that a host of a swarm may need
_CLEAR = 20.0  # seconds to remove what was left on a host


@attrs.frozen
class _Fetch:
    """A fetch under way: the job, and what its host is called."""

    job: FetchJob
    node_id: str
    host: str

    def leave_trace(self) -> None:
        """Note on the cluster what is about to be started, and by whom. Blocking."""
        # A store is the directory above the model's, which is above the revision's.
        root = None if self.job.verify_only else str(Path(self.job.path).parent.parent)
        trace = workers.Trace(self.node_id, root, owners.this_process())
        workers.leave_trace(self.job.name, trace)


@attrs.define(eq=False)
class _Life:
    """The actor of a fetch: asked for, there, given its job, and done with it, each once it is."""

    starting: asyncio.Future[Any]
    actor: Any = None
    answer: asyncio.Future[bytes] | None = None
    brought: bool = False


class Fetches:
    """The fetches that this process has under way, by name."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._starting: dict[str, asyncio.Future[Any]] = {}
        self._teams: dict[str, Team] = {}
        self.users = Users(call)

    async def fetch(
        self, node_id: str, job: FetchJob, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """See `Cluster.fetch`."""
        fetch = _Fetch(job, node_id, await self._call(hosts.host_name, node_id))
        with self._together(fetch) as team:
            await self._check_alive(fetch)
            parcel = await self._call(pack, job)
            await self._call(fetch.leave_trace)
            way: Way | None = None
            for tries_left in reversed(range(_LIVES)):
                life = self._begin(fetch)
                try:
                    life.actor = await asyncio.shield(life.starting)
                    if team is not None and way is None:
                        way = await self._agreed(fetch, life, parcel, team)
                        note = str(way.choice)
                        on_progress(Progress(node_id, 0, 0, stage="start", note=note))
                    sent = await self._call(workers.send, life.actor, node_id, parcel, way)
                    life.answer = seen(asyncio.wrap_future(sent))
                    swarm = team.swarm if team and way and way.is_swarm else None
                    await self._watch(fetch, life.actor, life.answer, on_progress, swarm)
                    report = await self._opened(fetch, life.answer, NodeReport)
                    life.brought = True
                    on_progress(Progress(node_id, report.bytes, report.bytes, stage="done"))
                    return report
                except Lost as lost:
                    # In a swarm, what this host has is needed, and what it lacks is near.
                    if not (tries_left and team and way and way.is_swarm):
                        raise
                    team.swarm.gone(node_id)
                    log.warning("%s; another one takes its place", lost)
                finally:
                    await clean_up(self._end(fetch, life), f"ending {job.name}")
                await self._check_alive(fetch)
                await in_time(_DIE, self._is_free, job.name)
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def _together(self, fetch: _Fetch) -> Iterator[Team | None]:
        """The team that a fetch belongs to, if it has one: left at the end, however that comes."""
        named = fetch.job.team
        if named is None:
            yield None
            return
        team = self._teams.get(named.name)
        if team is None:
            team = self._teams[named.name] = Team(named, fetch.job)
        team.enter(fetch.node_id)
        try:
            yield team
        finally:
            if team.leave(fetch.node_id):
                self._teams.pop(named.name, None)

    def _begin(self, fetch: _Fetch) -> _Life:
        """Ask for an actor, in a task of its own: a cancel must not lose one that is being started."""
        job = fetch.job
        starting = asyncio.ensure_future(
            self._call(workers.start, job.name, fetch.node_id, job.ctx.runtime_env)
        )
        self._starting[job.name] = starting
        return _Life(starting)

    async def _agreed(self, fetch: _Fetch, life: _Life, parcel: Parcel, team: Team) -> Way:
        """Have a host look, wait until all have, and learn how they fetch."""
        first = fetch.node_id == team.members[0]
        sign = team.sign if first and len(team.members) > 1 else ""
        looking = seen(
            asyncio.wrap_future(await self._call(workers.look, life.actor, parcel, sign))
        )
        await self._watch(fetch, life.actor, looking)
        found = attrs.evolve(await self._opened(fetch, looking, Found), host=fetch.host)
        if await team.all_looked(fetch.node_id, found) and not first:
            looking = seen(
                asyncio.wrap_future(await self._call(workers.sees, life.actor, parcel, team.sign))
            )
            await self._watch(fetch, life.actor, looking)
            found = attrs.evolve(found, sees_store=await self._said(fetch, looking))
        return await team.agree(fetch.node_id, found)

    async def _is_free(self, name: str) -> bool:
        return await self._call(workers.find, name) is None

    async def stop(self, name: str) -> None:
        """See `Cluster.stop_fetch`. The fetch may be of another process that has died."""
        if name in self._starting:
            await within(self._starting[name], _START)
        trace: workers.Trace | None = await self._call(workers.trace_of, name)
        actor = await self._call(workers.find, name)
        if actor is not None:
            await self._halt(actor)
        if trace is not None:
            if trace.root is not None:
                await self._clear(name, trace)
            await self._call(workers.erase_trace, name)

    async def _watch(
        self,
        fetch: _Fetch,
        actor: Any,
        answer: asyncio.Future[Any],
        on_progress: Callable[[Progress], None] | None = None,
        swarm: Coordinator | None = None,
    ) -> None:
        """Wait for an answer, passing on progress and what the members of a swarm tell each other.

        Raises `TemporaryError` when there is no hope.
        """
        now = asyncio.get_running_loop().time
        began = looked = now()
        told: Progress | None = None
        last: How | None = None
        asked: asyncio.Future[How] | None = None
        orders: Orders | None = None
        patience = _START if fetch.job.ctx.runtime_env is None else _START_ENV
        while not await within(answer, _POLL):
            if asked is None:
                asked = seen(asyncio.wrap_future(await self._call(workers.ask, actor, orders)))
            elif asked.done():
                how = asked.result() if asked.exception() is None else None
                if how is not None:
                    last, progress = how, _progress(fetch.node_id, how)
                    if on_progress is not None and progress != told:
                        on_progress(progress)
                        told = progress
                    if swarm is not None and how.report is not None:
                        orders = swarm.heard(fetch.node_id, how.report, now())
                asked = None
            if now() - looked >= _LOOK:
                looked = now()
                await self._check_alive(fetch)
            if last is None and now() - began > patience:
                raise TemporaryError(
                    f"host {fetch.host}: no process was started there within {patience:g} s"
                )

    async def _check_alive(self, fetch: _Fetch) -> None:
        if fetch.node_id not in await self._call(hosts.living):
            raise TemporaryError(f"host {fetch.host} is dead")

    async def _opened(self, fetch: _Fetch, answer: asyncio.Future[bytes], expected: type[T]) -> T:
        """What the host answered. Raises what went wrong there, naming the host."""
        outcome = await self._call(unpacked, await self._said(fetch, answer))
        if isinstance(outcome, expected):
            return outcome
        match outcome:
            case NodeInitError():
                raise naming(fetch.host, outcome)
            case Stopped():
                raise TemporaryError(f"host {fetch.host}: somebody stopped {fetch.job.name}")
        raise PermanentError(f"host {fetch.host} answered a {type(outcome).__name__}")

    async def _said(self, fetch: _Fetch, answer: asyncio.Future[T]) -> T:
        try:
            return await answer
        except ray.exceptions.RayError as error:
            raise explained(fetch.host, error) from error

    async def _end(self, fetch: _Fetch, life: _Life) -> None:
        """See to it that nothing of a fetch runs, and that what is left of it stays traced."""
        starting, answer = life.starting, life.answer
        if not await within(starting, _START):
            return  # Ray does not answer; `stop` will ask again
        self._starting.pop(fetch.job.name, None)
        if starting.cancelled() or starting.exception() is not None:
            return
        actor = starting.result()
        if answer is not None and not answer.done():
            await self._call(workers.stop, actor)
            await within(answer, _ACKNOWLEDGE)
        if life.brought and fetch.job.user:
            await self.users.keep(fetch.job.user, fetch.node_id, actor)
        else:
            await self._call(workers.kill, actor)
        if answer is not None and await within(answer, _DIE) and await self._is_clean(answer):
            await self._call(workers.erase_trace, fetch.job.name)

    async def _is_clean(self, answer: asyncio.Future[bytes]) -> bool:
        """Whether the host said itself that nothing is left half-written there."""
        if answer.cancelled() or answer.exception() is not None:
            return False
        # A temporary error keeps what was brought so far, for the next try.
        return not isinstance(await self._call(unpacked, answer.result()), TemporaryError)

    async def _halt(self, actor: Any) -> None:
        """Stop an actor that somebody else waits for, or nobody any more."""
        await self._call(workers.stop, actor)

        async def is_over() -> bool:
            asked = seen(asyncio.wrap_future(await self._call(workers.ask, actor)))
            if not await within(asked, _ACKNOWLEDGE):
                return False
            return asked.exception() is not None or asked.result().over

        await in_time(_ACKNOWLEDGE, is_over)
        await self._call(workers.kill, actor)

    async def _clear(self, name: str, trace: workers.Trace) -> None:
        """Remove what a fetch left in staging, if its host lives."""
        if trace.node_id not in await self._call(hosts.living):
            return
        clearing = seen(asyncio.wrap_future(await self._call(workers.clear, name, trace)))
        done = await within(clearing, _CLEAR)
        if done and clearing.exception() is None:
            return
        if trace.node_id not in await self._call(hosts.living):
            return
        host = await self._call(hosts.host_name, trace.node_id)
        why = clearing.exception() if done else f"not done within {_CLEAR:g} s"
        raise TemporaryError(f"host {host}: what {name} left behind was not removed: {why}")


def _progress(node_id: str, how: How) -> Progress:
    return Progress(node_id, how.done, how.total, how.file, how.stage, rate=how.rate, left=how.left)
