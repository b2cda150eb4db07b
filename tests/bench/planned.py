"""The pods of `openb` through the planner itself: each is a request, each plan is then occupied."""

from __future__ import annotations

from collections.abc import Iterable

from nodeinit.placement.batch import occupied
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host
from tests.bench.openb import WHOLE, Node, Pod

_MIB = 2**20


class Planned:
    """Places pods where the planner says, on a snapshot that knows every single GPU."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.snapshot = ClusterSnapshot(tuple(_host(node) for node in nodes))
        self._placed = 0

    def place(self, pod: Pod) -> bool:
        found = find(_request(pod), self.snapshot).plan
        if found is None:
            return False
        self._placed += 1
        self.snapshot = occupied(self.snapshot, f"pod-{self._placed}", found)
        return True


def _host(node: Node) -> Host:
    total = _resources(gpu=sum(node.free), cpu=node.cpu, memory=node.memory)
    gpus = tuple(left * UNIT // WHOLE for left in node.free)
    return Host(node.name, node.name, total, total, {"model": node.kind}, gpus=gpus)


def _request(pod: Pod) -> PlacementRequest:
    """A tensor-parallel group, which is on one host; CPU and memory are those of its first bundle."""
    first = Bundle(_resources(gpu=pod.share, cpu=pod.cpu, memory=pod.memory))
    others = (Bundle({"GPU": UNIT}),) * (pod.gpus - 1)
    return PlacementRequest((first, *others), tensor_parallel_size=max(1, pod.gpus))


def _resources(*, gpu: int, cpu: int, memory: int) -> dict[str, int]:
    """Amounts of the trace in Ray's fixed point; memory in bytes."""
    amounts = {
        "GPU": gpu * UNIT // WHOLE,
        "CPU": cpu * UNIT // 1_000,
        "memory": memory * _MIB * UNIT,
    }
    return {name: value for name, value in amounts.items() if value}
