"""Bringing files to hosts: the driver's side of a fetch.

A fetch is an actor on its host. It is watched while it works, told to stop when the call is
cancelled, waited for, and killed in the end; what it may have left half-written is traced on the
cluster, so that any process can clear it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import ray
from ray import cloudpickle

from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.context import NodeReport
from nodeinit.download.watch import Stopped
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.ray import hosts, owners, workers
from nodeinit.ray.host_actor import How
from nodeinit.ray.polling import Call, in_time, seen
from nodeinit.ray.shield import clean_up, within
from nodeinit.ray.shipping import pack

_POLL = 0.2  # seconds between two questions how far a host is
_LOOK = 0.5  # seconds between two looks at whether the host is alive
_START = 60.0  # seconds for a process to start on a host
_START_ENV = 900.0  # the same, when Ray has to build an environment for it first
_ACKNOWLEDGE = 8.0  # seconds for a host to stop what it was told to
_DIE = 3.0  # seconds for a process to be dead, when Ray was told to kill it
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


class Fetches:
    """The fetches that this process has under way, by name."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._starting: dict[str, asyncio.Future[Any]] = {}

    async def fetch(
        self, node_id: str, job: FetchJob, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """See `Cluster.fetch`."""
        fetch = _Fetch(job, node_id, await self._call(hosts.host_name, node_id))
        await self._check_alive(fetch)
        parcel = await self._call(pack, job)
        await self._call(fetch.leave_trace)
        # In a task of its own: a cancel must not lose an actor that is being started.
        starting = asyncio.ensure_future(
            self._call(workers.start, job.name, node_id, job.ctx.runtime_env)
        )
        self._starting[job.name] = starting
        answer: asyncio.Future[bytes] | None = None
        try:
            actor = await asyncio.shield(starting)
            sent = await self._call(workers.send, actor, node_id, parcel)
            answer = seen(asyncio.wrap_future(sent))
            await self._watch(fetch, actor, answer, on_progress)
            report = await self._opened(fetch, answer)
            on_progress(Progress(node_id, report.bytes, report.bytes, stage="done"))
            return report
        finally:
            await clean_up(self._end(fetch, starting, answer), f"ending {job.name}")

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
        answer: asyncio.Future[bytes],
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Wait for the answer, passing on progress; raises `TemporaryError` when there is no hope."""
        now = asyncio.get_running_loop().time
        began = looked = now()
        last: How | None = None
        asked: asyncio.Future[How] | None = None
        patience = _START if fetch.job.ctx.runtime_env is None else _START_ENV
        while not await within(answer, _POLL):
            if asked is None:
                asked = seen(asyncio.wrap_future(await self._call(workers.ask, actor)))
            elif asked.done():
                how = asked.result() if asked.exception() is None else last
                if how is not None and how != last:
                    on_progress(Progress(fetch.node_id, how.done, how.total, how.file, how.stage))
                last, asked = how, None
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

    async def _opened(self, fetch: _Fetch, answer: asyncio.Future[bytes]) -> NodeReport:
        """What the host answered. Raises what went wrong there, naming the host."""
        try:
            outcome = await self._call(_unpacked, await answer)
        except ray.exceptions.RayError as error:
            raise _explained(fetch.host, error) from error
        match outcome:
            case NodeReport():
                return outcome
            case NodeInitError():
                raise _naming(fetch.host, outcome)
            case Stopped():
                raise TemporaryError(f"host {fetch.host}: somebody stopped {fetch.job.name}")
        raise PermanentError(f"host {fetch.host} answered a {type(outcome).__name__}")

    async def _end(
        self,
        fetch: _Fetch,
        starting: asyncio.Future[Any],
        answer: asyncio.Future[bytes] | None,
    ) -> None:
        """See to it that nothing of a fetch runs, and that what is left of it stays traced."""
        if not await within(starting, _START):
            return  # Ray does not answer; `stop` will ask again
        self._starting.pop(fetch.job.name, None)
        if starting.cancelled() or starting.exception() is not None:
            return
        actor = starting.result()
        if answer is not None and not answer.done():
            await self._call(workers.stop, actor)
            await within(answer, _ACKNOWLEDGE)
        await self._call(workers.kill, actor)
        if answer is not None and await within(answer, _DIE) and await self._is_clean(answer):
            await self._call(workers.erase_trace, fetch.job.name)

    async def _is_clean(self, answer: asyncio.Future[bytes]) -> bool:
        """Whether the host said itself that nothing is left half-written there."""
        if answer.cancelled() or answer.exception() is not None:
            return False
        # A temporary error keeps what was brought so far, for the next try.
        return not isinstance(await self._call(_unpacked, answer.result()), TemporaryError)

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


def _unpacked(answer: bytes) -> Any:
    try:
        return cloudpickle.loads(answer)
    except Exception as error:
        return PermanentError(f"its answer cannot be read here: {type(error).__name__}: {error}")


def _naming(host: str, error: NodeInitError) -> NodeInitError:
    """The error, with its host in front of its message."""
    error.args = (f"host {host}: {error.args[0] if error.args else error}", *error.args[1:])
    return error


def _explained(host: str, error: ray.exceptions.RayError) -> NodeInitError:
    """What it means that Ray has no answer of a host."""
    text = " ".join(str(error).split())
    match error:
        case ray.exceptions.RuntimeEnvSetupError():
            return PermanentError(f"host {host}: the runtime_env cannot be set up: {text}")
        case ray.exceptions.RayActorError(actor_init_failed=True):
            return PermanentError(
                f"host {host}: nodeinit does not start there; install the version of this process "
                f"on every host: {text}"
            )
    return TemporaryError(f"host {host}: the process that brings the files is lost: {text}")
