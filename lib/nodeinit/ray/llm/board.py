"""Where replicas say how far their nodes are, to those who wait for an application elsewhere.

The status of each node, under the name of its replica, in the key-value store of Ray's head. Nothing
is said of an application that nobody watches: there would be nobody to clear it away. Blocking calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.node.initializer import NodeInitializer
from nodeinit.node.status import Status
from nodeinit.ray import records

_PREFIX, _WATCHED = "serving/", "watched/"
_PERIOD = 0.5  # seconds between two looks at a node


def replica_here() -> str | None:
    """What the replica that this process is is called on the board: `app/deployment/replica`."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        context = serve.get_replica_context()
    except RayServeException:
        return None
    name = context.replica_id
    return f"{context.app_name}/{context.deployment}/{name.unique_id}"


def watch(app: str) -> None:
    """Let the replicas of an application say how far they are, until `clear`."""
    records.put(f"{_WATCHED}{app}", {})


def post(replica: str, status: Status) -> None:
    """Say how far the node of a replica is, if somebody wants to know."""
    if records.get(f"{_WATCHED}{replica.partition('/')[0]}") is not None:
        records.put(f"{_PREFIX}{replica}", status.to_dict())


def read(app: str) -> dict[str, Status]:
    """How far the nodes of an application are, by the ids of their replicas.

    Those of replicas that are no more may be among them.
    """
    found = records.under(f"{_PREFIX}{app}/")
    return {key.rpartition("/")[2]: Status.from_dict(status) for key, status in found.items()}


def clear(app: str) -> None:
    """Watch an application no more, and forget what its replicas said."""
    records.erase(f"{_WATCHED}{app}")
    for key in records.under(f"{_PREFIX}{app}/"):
        records.erase(f"{_PREFIX}{app}/{key}")


@contextlib.asynccontextmanager
async def telling(node: NodeInitializer, replica: str | None) -> AsyncIterator[None]:
    """Keep the board up to date with a node; what it said last stays there."""
    if replica is None:
        yield
        return
    threads = ThreadExecutor()

    async def tell() -> None:
        with contextlib.suppress(Exception):  # nobody's node fails because nobody could be told
            await threads.call(post, replica, node.status())

    async def keep_telling() -> None:
        while True:
            await tell()
            await asyncio.sleep(_PERIOD)

    task = asyncio.create_task(keep_telling())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await tell()
