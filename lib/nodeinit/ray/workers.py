"""The processes on hosts that bring files there: Ray actors, one for each fetch. Blocking calls."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nodeinit.download.store import clean_staging
from nodeinit.download.swarm.words import Orders
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.ray import records, withheld
from nodeinit.ray.host_actor import HostActor, How
from nodeinit.ray.owners import Owner
from nodeinit.ray.shipping import Parcel
from nodeinit.ray.ways import Way

NAMESPACE = "nodeinit"
_PREFIX = "fetch/"


@attrs.frozen
class Trace:
    """Where a fetch was started: its host, the root of the store that it stages in, and by whom."""

    node_id: str
    root: str | None
    owner: Owner


def start(name: str, node_id: str, runtime_env: Mapping[str, Any] | None) -> Any:
    """Ask for the actor called `name` on a host; answers its handle, before the actor runs.

    It takes no CPU, so that a full host is no obstacle, and ends with our job at the latest.
    Raises `PermanentError` for a runtime environment that Ray does not take, `TemporaryError` when
    an actor of that name is there.
    """
    told, keys = withheld.split(runtime_env)
    env = {} if told is None else {"runtime_env": told}
    try:
        actor = ray.remote(HostActor).options(
            name=name,
            namespace=NAMESPACE,
            num_cpus=0,
            max_concurrency=4,  # fetch, progress and stop at once
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
            **env,
        )
        # An empty entry stands for the current directory, which is another one there.
        return actor.remote([path or str(Path.cwd()) for path in sys.path], keys)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        if find(name) is not None:
            raise TemporaryError(f"the fetch {name} is under way already") from error
        raise PermanentError(f"Ray does not take the runtime_env of {name}: {error}") from error


def look(actor: Any, parcel: Parcel, sign: str) -> Future[bytes]:
    """Have an actor look what is there of a job; `sign` is what it should leave in the store."""
    return _future(actor.look.remote(parcel, sign))


def sees(actor: Any, parcel: Parcel, sign: str) -> Future[bool]:
    """Whether an actor sees the sign of another in its store."""
    return _future(actor.sees.remote(parcel, sign))


def send(actor: Any, node_id: str, parcel: Parcel, way: Way | None) -> Future[bytes]:
    """Give an actor its job; the future is its answer, or the error of Ray that prevented one."""
    return _future(actor.fetch.remote(node_id, parcel, way))


def ask(actor: Any, orders: Orders | None = None) -> Future[How]:
    """How far an actor is, telling it what to do in a swarm. Answered once the actor runs."""
    return _future(actor.progress.remote(orders))


def stop(actor: Any) -> None:
    """Tell an actor to end its job soon."""
    actor.stop.remote()


def find(name: str) -> Any:
    """The handle of the actor called `name`, whoever started it; `None` if there is none."""
    with contextlib.suppress(ValueError):
        return ray.get_actor(name, namespace=NAMESPACE)
    return None


def kill(actor: Any) -> None:
    """End an actor's process, whatever it is doing; one that has ended is fine."""
    ray.kill(actor, no_restart=True)


def clear(name: str, trace: Trace) -> Future[None]:
    """Have what a fetch left half-written removed on its host."""
    clean = ray.remote(clean_staging).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(trace.node_id, soft=False),
    )
    return _future(clean.remote(trace.root, name))


def leave_trace(name: str, trace: Trace) -> None:
    """Note on the cluster that a fetch is about to start, for whoever has to clean up after us."""
    records.put(_PREFIX + name, attrs.asdict(trace))


def trace_of(name: str) -> Trace | None:
    """Where a fetch that has not ended properly was started; `None` when there was none."""
    note = records.get(_PREFIX + name)
    return _trace(note) if note else None


def traces() -> dict[str, Trace]:
    """The fetches that have not ended properly, those under way among them, by name."""
    return {name: _trace(note) for name, note in records.under(_PREFIX).items()}


def erase_trace(name: str) -> None:
    """Note that nothing of a fetch is left."""
    records.erase(_PREFIX + name)


def _trace(note: Mapping[str, Any]) -> Trace:
    return Trace(note["node_id"], note["root"], Owner(**note["owner"]))


def _future(reference: Any) -> Future[Any]:
    future: Future[Any] = reference.future()
    return future
