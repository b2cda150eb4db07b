"""`RayCluster`: the port of `nodeinit.clusters.base`, answered by Ray.

Import this module only to use it: it imports Ray.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

import ray

from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.config import LLMConfig
from nodeinit.context import NodeReport
from nodeinit.download.manifest import Manifest
from nodeinit.download.reading import read_manifest
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.fsm.executor import Executor, ThreadExecutor
from nodeinit.placement.topology import ClusterSnapshot, Placement, PlacementPlan
from nodeinit.ray import checkup, probes, session, watching
from nodeinit.ray.checkup import Checkup
from nodeinit.ray.fetches import Fetches
from nodeinit.ray.leftovers import Leftover
from nodeinit.ray.removal import Removals
from nodeinit.ray.reservations import Reservations
from nodeinit.ray.simulated import SimulatedHosts
from nodeinit.ray.snapshots import Snapshots


class RayCluster:
    """Implements `Cluster` with the Ray that this process is connected to.

    Make one with `connect` or `simulated`, and close it. No call blocks the event loop. Errors are
    `TemporaryError` when Ray does not answer or a host is lost, `PermanentError` when trying again
    cannot help; they name the host.
    """

    def __init__(
        self,
        disconnect: Callable[[], None] = lambda: None,
        *,
        hosts: SimulatedHosts | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.hosts = hosts
        """The simulated hosts, if they are; a test may kill one."""
        self._disconnect = disconnect
        self._executor = executor or ThreadExecutor()
        self._removals = Removals(self._call)
        self._groups = Reservations(self._call, self._removals)
        self._fetches = Fetches(self._call)
        self._snapshots = Snapshots()

    @classmethod
    def connect(
        cls,
        address: str | None = None,
        *,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        namespace: str | None = None,
    ) -> Self:
        """Use the Ray of this process, or connect to one, or start one. Blocking, for seconds.

        The first of these that is there: the Ray that this process is connected to, the one at
        `address` ("host:6379"), the one that the environment variable `RAY_ADDRESS` names, a new
        one on this machine with `num_cpus` and `num_gpus` (by default: what the machine has), which
        "local" asks for too. What was started or connected to here ends with `close`.

        Raises `ConfigError` when there is no Ray at the address.
        """
        return cls(
            session.attach(address, num_cpus=num_cpus, num_gpus=num_gpus, namespace=namespace)
        )

    @classmethod
    def simulated(
        cls,
        hosts: int = 3,
        *,
        gpus_per_host: int = 8,
        cpus_per_host: int = 16,
        accelerator_type: str | None = None,
    ) -> Self:
        """A real Ray on this machine with several hosts, whose GPUs do not exist. Blocking.

        Placement groups, actors and lost hosts are Ray's own; only what would use a GPU fails.
        Raises `ConfigError` when this process has a Ray already.
        """
        simulated = SimulatedHosts(
            hosts,
            gpus_per_host=gpus_per_host,
            cpus_per_host=cpus_per_host,
            accelerator_type=accelerator_type,
        )
        return cls(simulated.close, hosts=simulated)

    async def snapshot(self) -> ClusterSnapshot:
        """Hosts with what is free of them, and all groups that are not removed.

        What has not changed since the last one is the same object, up to the snapshot itself.
        """
        found: ClusterSnapshot = await self._call(self._snapshots.take)
        return found

    async def manifest(self, config: LLMConfig) -> Manifest:
        """The manifest of a config's model, as this process sees it; digests are remembered."""
        stop = threading.Event()
        try:
            found: Manifest = await self._call(read_manifest, config, stop.is_set)
        finally:
            stop.set()  # a cancel leaves the thread behind, which should not go on hashing
        return found

    async def fetch(
        self, node_id: str, job: FetchJob, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """Bring a job's files on one host, in a process there, and run its hooks in that process."""
        return await self._fetches.fetch(node_id, job, on_progress)

    async def stop_fetch(self, name: str) -> None:
        """End a fetch, whoever started it, and clear what it staged."""
        await self._fetches.stop(name)

    async def let_go(self, user: str) -> None:
        """End the processes that keep a node's model on its hosts from being removed."""
        await self._fetches.users.let_go(user)

    async def reserve(self, plan: PlacementPlan, name: str) -> Placement:
        """Reserve a plan's bundles, each on its host; see `nodeinit.ray.reservations`."""
        return await self._groups.reserve(plan, name)

    async def observe(self, group: Any) -> Placement:
        """Where a group stands once Ray has placed it, given its `PlacementGroup`.

        Waits for that as long as the caller lets it. Raises `PermanentError` for a group that was
        removed, is not of this cluster, or is no group.
        """
        return await self._groups.observe(group)

    async def probe(self, placement: Placement) -> Placement:
        """A placement of a group of ours with the GPUs that a process in each bundle sees."""
        return await probes.probe(self._call, placement)

    async def remove(self, name: str) -> None:
        """Remove a group and wait until its resources are seen to be free."""
        await self._groups.remove(name)

    async def lost(self, placement: Placement) -> str:
        """Wait until a host of a placement dies, or Ray moves or removes its group; say which."""
        return await watching.lost(self._call, placement)

    async def checkup(self) -> Checkup:
        """How the cluster is, and what is left on it of processes that are no more."""
        return await checkup.examine(self._call, self._snapshots)

    async def sweep(self, found: Iterable[Leftover]) -> tuple[tuple[Leftover, str], ...]:
        """Remove exactly these leftovers of a check-up; answers those that stay, each with why."""
        return await checkup.sweep(self._call, self._removals, self._fetches, found)

    async def close(self) -> None:
        """Disconnect from the Ray that was connected to here, end the one that was started here."""
        await self._executor.call(self._disconnect)

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking function off the event loop; what Ray raises becomes an error of ours."""
        try:
            return await self._executor.call(function, *args)
        except ray.exceptions.RayError as error:
            if not ray.is_initialized():
                raise PermanentError("this process is no longer connected to Ray") from error
            raise TemporaryError(f"Ray: {' '.join(str(error).split())}") from error
