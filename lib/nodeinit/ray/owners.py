"""Who acquired something on the cluster, and whether that process is still there. Blocking calls.

A group ends with the job that made it, or not at all: one that an actor made (a replica of Ray
Serve, say) outlives the actor for as long as the job lives, and with it the GPUs that it holds.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable
from pathlib import Path

import attrs
import ray
from ray._private import state
from ray.core.generated import gcs_pb2
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nodeinit.ray import hosts
from nodeinit.ray.accessor import accessor

_LOOK = 20.0  # seconds for a host to say whether one of its processes runs


@attrs.frozen
class Owner:
    """A process of Ray: a driver, or a worker, which may run an actor.

    `host` is what a person calls its host, `started` is when the process began, in the kernel's
    count ("" where the kernel does not tell), and `at` when it said so (Unix time, seconds).
    """

    node_id: str
    host: str
    pid: int
    started: str
    job_id: str
    worker_id: str
    actor_id: str | None
    at: float

    def __str__(self) -> str:
        """The process in a few words: `process 4711 on gpu-1`."""
        actor = f" (actor {self.actor_id})" if self.actor_id else ""
        return f"process {self.pid} on {self.host}{actor}"


def this_process() -> Owner:
    """The process that runs this, as the cluster knows it."""
    return attrs.evolve(_known(ray.get_runtime_context().get_worker_id()), at=time.time())


def gone(owners: Iterable[Owner]) -> dict[Owner, str]:
    """Why each of these processes that is no more is no more.

    One of which nothing can be learnt counts as there.
    """
    living, finished = hosts.living(), _finished_jobs()
    found = ((owner, _why_gone(owner, living, finished)) for owner in set(owners))
    return {owner: why for owner, why in found if why is not None}


def _why_gone(owner: Owner, living: frozenset[str], finished: frozenset[str]) -> str | None:
    if owner.job_id in finished:
        return f"its job {owner.job_id} has finished"
    if owner.node_id not in living:
        return f"its host {owner.host} is dead"
    data = accessor().get_worker_info(ray.WorkerID(bytes.fromhex(owner.worker_id)))
    if data is None:  # Ray forgets the oldest of those that have ended
        return None if _runs(owner) else f"{owner} has ended"
    worker = gcs_pb2.WorkerTableData.FromString(data)
    if worker.is_alive:
        return None
    detail = " ".join(worker.exit_detail.split()).rstrip(".")
    return f"{owner} has ended: {detail}" if detail else f"{owner} has ended"


def _finished_jobs() -> frozenset[str]:
    return frozenset(row["JobID"] for row in state.state.job_table() if row["IsDead"])


def _runs(owner: Owner) -> bool:
    """Whether a process runs, as far as its host can tell."""
    if not owner.started:
        return True
    look = ray.remote(_began).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(owner.node_id, soft=False),
    )
    try:
        return bool(ray.get(look.remote(owner.pid), timeout=_LOOK) == owner.started)
    except ray.exceptions.RayError:
        return True


def _began(pid: int) -> str:
    """When a process of this machine began; "" if it does not run or the kernel does not tell.

    The number of a process is given again one day; its number and its beginning are not.
    """
    try:
        # proc(5): the 22nd field; the 2nd, a name in parentheses, may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


@functools.lru_cache(maxsize=1)
def _known(worker_id: str) -> Owner:
    """This process, but for the time; asked once for each connection to a cluster."""
    context = ray.get_runtime_context()
    node_id = context.get_node_id()
    return Owner(
        node_id=node_id,
        host=hosts.host_name(node_id),
        pid=os.getpid(),
        started=_began(os.getpid()),
        job_id=context.get_job_id(),
        worker_id=worker_id,
        actor_id=context.get_actor_id(),
        at=0.0,
    )
