"""The faults of a scenario in front of any cluster, as `SimCluster` has them built in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nodeinit.clusters.base import Cluster
from nodeinit.clusters.sim_parts import SimFault

OPS = ("snapshot", "manifest", "fetch", "reserve", "probe", "observe", "remove", "stop_fetch")


class Hands(Protocol):
    """Who can make happen what is no fault of a call."""

    async def kill(self, host: str) -> None:
        """A host dies."""
        ...

    async def steal(self, host: str) -> None:
        """Somebody takes all that is free on a host."""
        ...


class Faulty:
    """A cluster some of whose calls go wrong before they begin. It cannot `lie`: Ray does not."""

    def __init__(self, cluster: Cluster, faults: Sequence[SimFault], hands: Hands) -> None:
        self._cluster = cluster
        self._faults = {(fault.op, fault.call): fault for fault in faults}
        self._calls: dict[str, int] = {}
        self._hands = hands

    def __getattr__(self, name: str) -> Any:
        """The method of the cluster, behind its faults."""
        method = getattr(self._cluster, name)
        if name not in OPS:
            return method

        async def call(*args: Any) -> Any:
            await self._enter(name)
            return await method(*args)

        return call

    async def _enter(self, op: str) -> None:
        call = self._calls.get(op, 0)
        self._calls[op] = call + 1
        fault = self._faults.get((op, call))
        if fault is None:
            return
        await fault.go_wrong()
        match fault:
            case SimFault(kind="kill", node_id=str(node_id)):
                await self._hands.kill(node_id)
            case SimFault(kind="steal", node_id=str(node_id)):
                await self._hands.steal(node_id)
