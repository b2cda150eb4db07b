"""A cluster in memory: deterministic, with faults on demand, for tests and dry runs.

It has hosts with resources, groups that hold them, files on hosts and fetches under way, and it
keeps books of all of it: `leftovers` tells what a node left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.clusters.gcs import CREATED, Gcs
from nodeinit.clusters.host_hooks import run_host_hooks
from nodeinit.clusters.ray_like import PLAIN, RayLike
from nodeinit.clusters.sim_parts import (
    SIM_MANIFEST,
    SimFault,
    SimGroup,
    SimHost,
    placement_of,
    sim_host,
    view_of,
)
from nodeinit.clusters.sim_policy import deal
from nodeinit.clusters.sim_reserve import placed
from nodeinit.config import LLMConfig
from nodeinit.context import NodeModelDownloadable, NodeReport
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.fsm.executor import Executor, InlineExecutor
from nodeinit.fsm.shield import through
from nodeinit.placement.topology import (
    Bundle,
    ClusterSnapshot,
    Host,
    Placement,
    PlacementPlan,
)

__all__ = ["SIM_MANIFEST", "RayLike", "SimCluster", "SimFault", "SimGroup", "sim_host"]


class SimCluster:
    """Implements `Cluster` in memory. All waiting is `asyncio.sleep`, so virtual time applies.

    `bandwidth` is bytes per second and host, `latency` the seconds that any call takes. `ray` says
    how much it is like Ray beyond that: not at all by default, or as was measured (`RayLike()`).
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        manifest: Manifest = SIM_MANIFEST,
        faults: Sequence[SimFault] = (),
        latency: float = 0.01,
        bandwidth: float = 1_000_000.0,
        executor: Executor | None = None,
        ray: RayLike = PLAIN,
    ) -> None:
        self.hosts = {host.node_id: SimHost(host) for host in hosts}
        self.groups: dict[str, SimGroup] = {}
        self.fetching: dict[str, str] = {}
        self.staging: dict[str, str] = {}
        self.calls: dict[str, int] = {}
        self.moved = 0
        self.on_call: Callable[[str, int], None] | None = None
        """Called with every operation that is entered, and how often it was before."""
        self.deaths: list[tuple[float, str]] = []
        """Which hosts died, and when, on the clock of the running loop."""
        self._manifest = manifest
        self._faults = {(fault.op, fault.call): fault for fault in faults}
        self._latency = latency
        self._bandwidth = bandwidth
        self._executor = executor or InlineExecutor()
        self.gcs = Gcs(ray, self.groups, self._view, lambda node_id: self.hosts[node_id].alive)
        self._shaken = self.gcs.shaken

    # -- the port --------------------------------------------------------------------------------

    async def snapshot(self) -> ClusterSnapshot:
        """Hosts with what is free of them, and live groups."""
        await self._enter("snapshot")
        return self.now()

    async def manifest(self, config: LLMConfig) -> Manifest:
        """The manifest that the cluster was made with."""
        await self._enter("manifest")
        return attrs.evolve(self._manifest, model_id=config.model_id, source=config.model_source)

    async def fetch(
        self, node_id: str, job: FetchJob, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """Move the files that the host lacks, in time, through staging; then the host's hooks."""
        await self._answers(node_id)
        self.fetching[job.name] = node_id
        try:
            fault = await self._enter("fetch")
            await self._answers(node_id)
            files = job.manifest.select(job.mode)
            revision = job.manifest.revision
            have = self.hosts[node_id].published
            lacking = [file for file in files if (revision, file.path) not in have]
            if lacking and job.verify_only:
                raise PermanentError(f"{job.path}: {lacking[0].path} is missing on {node_id}")
            fetched = total_size(lacking)
            await self._move(node_id, job, lacking, on_progress)
            if fault is not None and fault.kind == "lie":
                have -= {(revision, file.path) for file in lacking[-1:]}
            custom = await run_host_hooks(
                job.hooks, job.ctx, node_id, self._executor, job.hook_deadline
            )
            await self._answers(node_id)
        finally:
            self.fetching.pop(job.name, None)
            self.staging.pop(job.name, None)
        present = [file for file in files if (revision, file.path) in have]
        return NodeReport(
            node_id=node_id,
            path=job.path,
            mode=job.mode,
            revision=revision,
            files=len(present),
            bytes=total_size(present),
            fetched=fetched,
            verified=len(present) == len(files),
            custom_data=custom,
        )

    async def reserve(self, plan: PlacementPlan, name: str) -> Placement:
        """Take the plan's bundles where its pin allows, or say that there is no room any more."""
        fault = await self._enter("reserve")
        if fault is not None and fault.kind == "lie":
            moved = [n for n in self.hosts if n != plan.node_ids[-1]] or [plan.node_ids[-1]]
            node_ids = (*plan.node_ids[:-1], moved[0])
            group = self.make_group(plan.bundles, node_ids, name=name, strategy=plan.strategy)
            group.ours = True
        else:
            group = self.gcs.ask(plan.bundles, plan.strategy, name, plan.selectors, ours=True)
        try:
            await placed(self.gcs, group, plan, self.now)
            await asyncio.sleep(self._latency)
            return placement_of(group, adopted=False)
        except BaseException:
            # Not at once: a group that is removed while Ray places it may leak.
            await through(self.gcs.give_back(group))
            raise

    async def probe(self, placement: Placement) -> Placement:
        """The placement with its GPUs, dealt out as a host of Ray does it."""
        fault = await self._enter("probe")
        for node_id in placement.hosts:
            await self._answers(node_id)
        ids = deal(self.now(), placement.group_id)
        if fault is not None and fault.kind == "lie":
            ids = dict.fromkeys(ids, next(iter(ids.values()), ()))
        bundles = (attrs.evolve(b, gpu_ids=ids.get(b.index)) for b in placement.bundles)
        return attrs.evolve(placement, bundles=tuple(bundles))

    async def observe(self, group: Any) -> Placement:
        """Where a group stands once it is placed, given its handle."""
        await self._enter("observe")
        while True:
            self.gcs.catch_up()
            known = (g for g in self.groups.values() if g.id == getattr(group, "id", None))
            found = next(known, None)
            if found is None:
                raise PermanentError(f"there is no placement group {group!r} on this cluster")
            if found.state == CREATED:
                return placement_of(found, adopted=True)
            await self.gcs.change()

    async def remove(self, name: str) -> None:
        """Remove a group of ours, and wait until all is back; one that is not there is fine."""
        fault = await self._enter("remove")
        if name in self.groups and (fault is None or fault.kind != "lie"):
            await self.gcs.give_back(self.groups[name])

    async def stop_fetch(self, name: str) -> None:
        """End a fetch and clear what it staged."""
        await self._enter("stop_fetch")
        self.fetching.pop(name, None)
        self.staging.pop(name, None)

    async def let_go(self, user: str) -> None:
        """Nothing is ever removed here."""

    async def lost(self, placement: Placement) -> str:
        """Wait until a host of the placement is seen to die, or its group is moved or gone."""
        while True:
            for node_id in placement.hosts:
                if node_id in self.gcs.dead:
                    return f"host {node_id} died"
            known = (g for g in self.groups.values() if g.id == placement.group_id)
            group = next(known, None)
            if group is None:
                return f"the group {placement.name} was removed by somebody else"
            if group.state != CREATED or group.node_ids != placement.node_ids:
                return f"Ray is moving bundles of the group {placement.name}"
            await self.gcs.change()

    async def work(self, op: str) -> None:
        """Whatever else is done on the cluster, by a name of its own: it can go wrong like a call."""
        await self._enter(op)

    async def close(self) -> None:
        """Nothing to give back."""

    # -- the world around ------------------------------------------------------------------------

    def make_group(
        self,
        bundles: Sequence[Bundle],
        node_ids: Sequence[str],
        *,
        name: str = "",
        strategy: str = "PACK",
    ) -> SimGroup:
        """Somebody's group, exactly there; a callback may hand it over as `ctx.placement_group`."""
        return self.gcs.group(bundles, node_ids, name, strategy)

    def kill_host(self, node_id: str) -> None:
        """A host dies: its fetches fail, its files are gone, groups on it are no longer good."""
        host = self.hosts[node_id]
        if host.alive:
            with contextlib.suppress(RuntimeError):  # a host may be dead before anything runs
                self.deaths.append((asyncio.get_running_loop().time(), node_id))
            host.alive = False
            host.published.clear()
            self.gcs.host_died(node_id)

    def add_host(self, host: Host) -> None:
        """A host joins, or one that died comes back, with nothing on it."""
        self.hosts[host.node_id] = SimHost(host)
        self.gcs.host_joined(host.node_id)

    def steal(self, node_id: str) -> None:
        """Somebody takes everything that is free on a host."""
        host = self.now().host(node_id)
        free = {k: v for k, v in host.available.items() if v > 0} if host and host.alive else {}
        if free:
            self.make_group([Bundle(free)], [node_id], name=f"thief-{self.gcs.made}")

    def now(self) -> ClusterSnapshot:
        """What Ray believes at this moment, without a call."""
        self.gcs.catch_up()
        return self._view()

    def leftovers(self) -> list[str]:
        """What nodes acquired here and have not given back; empty when nothing is left behind."""
        return [
            *(f"group {group.name}" for group in self.groups.values() if group.ours),
            *(f"group {g.name} is gone, not what it held" for g in self.gcs.leaked if g.ours),
            *(f"fetch {name} on {node_id}" for name, node_id in self.fetching.items()),
            *(f"staging of {name} on {node_id}" for name, node_id in self.staging.items()),
        ]

    def is_complete(self, node_id: str, manifest: Manifest, mode: NodeModelDownloadable) -> bool:
        """Whether a host really has the files of a manifest, whatever anybody reported."""
        have = self.hosts[node_id].published
        return all((manifest.revision, file.path) in have for file in manifest.select(mode))

    def publish(self, node_id: str, manifest: Manifest | None = None) -> None:
        """Put a model on a host beforehand."""
        manifest = manifest or self._manifest
        self.hosts[node_id].published |= {(manifest.revision, file.path) for file in manifest.files}

    # -- inside ----------------------------------------------------------------------------------

    def _view(self) -> ClusterSnapshot:
        hosts = [sim.host for sim in self.hosts.values()]
        return view_of(hosts, self.groups.values(), self.gcs.unseen, self.gcs.dead)

    async def _enter(self, op: str) -> SimFault | None:
        """Count a call, take its time, and let its fault happen."""
        call = self.calls.get(op, 0)
        self.calls[op] = call + 1
        if self.on_call is not None:
            self.on_call(op, call)
        await asyncio.sleep(self._latency)
        fault = self._faults.get((op, call))
        if fault is None:
            return None
        await fault.go_wrong()
        match fault:
            case SimFault(kind="kill", node_id=str(node_id)) if node_id in self.hosts:
                self.kill_host(node_id)
            case SimFault(kind="steal", node_id=str(node_id)) if node_id in self.hosts:
                self.steal(node_id)
        return fault

    async def _answers(self, node_id: str) -> None:
        """Raise when a host is dead. Nobody knows before its death is seen: until then, wait."""
        if node_id not in self.hosts or not self.hosts[node_id].alive:
            while node_id in self.hosts and node_id not in self.gcs.dead:
                await self.gcs.change()
            raise TemporaryError(f"host {node_id} is dead")

    async def _move(
        self,
        node_id: str,
        job: FetchJob,
        files: Sequence[ManifestFile],
        on_progress: Callable[[Progress], None],
    ) -> None:
        done, total = 0, total_size(files)
        for file in files:
            self.staging[job.name] = node_id
            await asyncio.sleep(file.size / self._bandwidth)
            await self._answers(node_id)
            done += file.size
            self.moved += file.size
            on_progress(Progress(node_id, done, total, file.path))
        # Published as a whole: a reader never sees a part.
        revision = job.manifest.revision
        self.hosts[node_id].published |= {(revision, file.path) for file in files}
        self.staging.pop(job.name, None)
