"""Where a fetch brings a model: this host, or hosts of a Ray cluster. One port for both."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import attrs

from nodeinit.cli.cluster import Where
from nodeinit.cli.fetch_hosts import picked
from nodeinit.cli.fetch_subject import Subject
from nodeinit.cli.names import HostNames
from nodeinit.clusters.base import FetchJob, Progress, Team
from nodeinit.context import CallbackCtx, NodeReport
from nodeinit.download.fetch import Stopped, bring
from nodeinit.download.looking import Look, look
from nodeinit.download.manifest import Manifest
from nodeinit.download.reading import read_manifest
from nodeinit.download.store import published_path
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.placement.topology import ClusterSnapshot

HERE = "here"


class Place(Protocol):
    """Where a model is brought to."""

    hosts: tuple[str, ...]
    names: HostNames

    async def manifest(self) -> Manifest:
        """What the model consists of."""
        ...

    async def looks(self, manifest: Manifest) -> Mapping[str, Look]:
        """What is there already, by host; hosts that cannot be asked are left out."""
        ...

    async def bring(
        self, host: str, manifest: Manifest, tried: int, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """Bring the model to one host, with all others at once, in the `tried`-th try.

        A cancel ends it before this returns.
        """
        ...


@contextlib.asynccontextmanager
async def place_of(subject: Subject, say: Callable[[str], Any]) -> AsyncIterator[Place]:
    """The place that is meant; a Ray that was connected to is left at the end."""
    if subject.hosts is None:
        yield Here(subject)
        return
    from nodeinit.cli import cluster

    where = Where(subject.address or "auto")
    say(f"connecting to {where}")
    threads = ThreadExecutor()
    connected: Any = await threads.call(cluster.connect, where)
    try:
        snapshot = await connected.snapshot()
        yield There(subject, connected, snapshot, picked(subject.hosts, snapshot))
    finally:
        await connected.close()


class Here:
    """This host. Works in threads, which are told to stop by a cancel and waited for."""

    hosts: tuple[str, ...] = (HERE,)
    names = HostNames(ClusterSnapshot(()))

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def manifest(self) -> Manifest:
        """Read in a thread."""
        found: Manifest = await _stoppable(lambda stop: read_manifest(self._subject.config, stop))
        return found

    async def looks(self, manifest: Manifest) -> Mapping[str, Look]:
        """Looks at the store."""
        root = self._subject.config.nodeinit.store
        return {HERE: await asyncio.to_thread(look, root, manifest, self._subject.mode)}

    async def bring(
        self, host: str, manifest: Manifest, tried: int, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """Brings in a thread."""
        loop = asyncio.get_running_loop()

        def told(done: int, total: int, file: str, stage: str) -> None:
            loop.call_soon_threadsafe(on_progress, Progress(host, done, total, file, stage))

        path = published_path(self._subject.config.nodeinit.store, manifest)
        result = await _stoppable(
            lambda stop: bring(
                manifest,
                self._subject.mode,
                path,
                name=_job_name(),
                on_progress=told,
                should_stop=stop,
                settings=self._subject.config.nodeinit.download,
                keep_when_stopped=True,
            )
        )
        return NodeReport(host, **attrs.asdict(result))


class There:
    """Hosts of a Ray cluster."""

    def __init__(
        self, subject: Subject, cluster: Any, snapshot: ClusterSnapshot, hosts: tuple[str, ...]
    ) -> None:
        self.hosts, self.names = hosts, HostNames(snapshot)
        self._subject, self._cluster = subject, cluster
        self._name = _job_name()

    async def manifest(self) -> Manifest:
        """As a node reads it."""
        found: Manifest = await self._cluster.manifest(self._subject.config)
        return found

    async def looks(self, manifest: Manifest) -> Mapping[str, Look]:
        """A short task on every host."""
        from nodeinit.ray.looks import on_hosts

        root = self._subject.config.nodeinit.store
        return await asyncio.to_thread(
            on_hosts, look, self.hosts, root, manifest, self._subject.mode
        )

    async def bring(
        self, host: str, manifest: Manifest, tried: int, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """As a node brings it: the hosts agree how, and may give each other the files."""
        config = self._subject.config.without_callbacks()
        job = FetchJob(
            name=f"{self._name}-{tried}-{host}",
            manifest=manifest,
            mode=self._subject.mode,
            path=str(published_path(config.nodeinit.store, manifest)),
            ctx=CallbackCtx(llm_config=config, runtime_env=config.runtime_env),
            team=Team(f"{self._name}-{tried}", self.hosts),
            keep=True,
        )
        report: NodeReport = await self._cluster.fetch(host, job, on_progress)
        return report


def _job_name() -> str:
    return f"fetch-{uuid.uuid4().hex[:8]}"


async def _stoppable(work: Callable[[Callable[[], bool]], Any]) -> Any:
    """Do blocking work in a thread. A cancel asks it to stop, and ends when it has."""
    stop = threading.Event()
    doing = asyncio.ensure_future(asyncio.to_thread(work, stop.is_set))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({doing})
        with contextlib.suppress(Stopped, Exception):
            doing.result()
        raise
