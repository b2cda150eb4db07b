"""A public trace of a GPU cluster as arrivals: Alibaba's `openb`, given by path.

Source of the data and of the way it is used: "Beware of Fragmentation: Scheduling GPU-Sharing
Workloads with Fragmentation Gradient Descent" (USENIX ATC '23) and its artefact,
hkust-adsl/kubernetes-scheduler-simulator. Pods arrive and never leave; a pod is placed at once or
refused. GPU shares are thousandths of one GPU, CPU thousandths of a core, memory MiB.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

WHOLE = 1_000
"""One GPU in the trace's unit."""

LISTS = ("default", "multigpu20", "multigpu30")
"""The pod lists: as traced, and with about 20 % and 30 % of the demand from pods of several GPUs."""


@attrs.frozen
class Pod:
    """What arrives: `gpus` GPUs of one host, or `share` of a single one."""

    gpus: int
    share: int
    cpu: int
    memory: int

    @property
    def demand(self) -> int:
        """All it wants of GPUs."""
        return self.gpus * self.share


@attrs.define(eq=False)
class Node:
    """A host with what is free on it; `free` are the single GPUs."""

    name: str
    kind: str
    cpu: int
    memory: int
    free: list[int]

    def fits(self, pod: Pod) -> bool:
        """Whether the pod can be placed here."""
        if self.cpu < pod.cpu or self.memory < pod.memory:
            return False
        return sum(left >= pod.share for left in self.free) >= pod.gpus

    def tightest(self, pod: Pod) -> list[int]:
        """The GPUs, by index, that the pod gets when those with least left go first."""
        fitting = [i for i, left in enumerate(self.free) if left >= pod.share]
        return sorted(fitting, key=self.free.__getitem__)[: pod.gpus]

    def take(self, pod: Pod, gpus: Iterable[int]) -> None:
        """Place the pod on these GPUs."""
        self.cpu -= pod.cpu
        self.memory -= pod.memory
        for i in gpus:
            self.free[i] -= pod.share
            assert self.free[i] >= 0


def read_nodes(directory: Path) -> list[Node]:
    """The hosts with GPUs, all of them empty."""
    return [
        Node(
            row["sn"],
            row["model"],
            int(row["cpu_milli"]),
            int(row["memory_mib"]),
            [WHOLE] * int(row["gpu"]),
        )
        for row in _rows(directory / "openb_node_list_gpu_node.csv")
    ]


def read_pods(directory: Path, name: str) -> list[Pod]:
    """The pods of one list, in its order.

    The lists at hand ask for no type of GPU; one that does is refused, as it would be misread.
    """
    rows = _rows(directory / f"openb_pod_list_{name}.csv")
    assert not any(row.get("gpu_spec") for row in rows), f"{name} asks for types of GPUs"
    return [
        Pod(
            int(row["num_gpu"]),
            int(row["gpu_milli"]),
            int(row["cpu_milli"]),
            int(row["memory_mib"]),
        )
        for row in rows
    ]


def lists(directory: Path) -> list[str]:
    """The names of the lists of pods that are there."""
    begin = "openb_pod_list_"
    return sorted(path.stem.removeprefix(begin) for path in directory.glob(f"{begin}*.csv"))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def with_more_multi_gpu(pods: Sequence[Pod], share: float, rng: random.Random) -> list[Pod]:
    """The list with pods of several GPUs drawn again until they are that share of the demand.

    This is how the artefact made its `multigpu` lists: each is `default`, pod by pod, and then
    further pods, all of them twins of the pods of several GPUs in it.
    """
    several = [pod for pod in pods if pod.gpus > 1]
    have, total = demand(several), demand(pods)
    more: list[Pod] = []
    while have < share * total:
        more.append(rng.choice(several))
        have += more[-1].demand
        total += more[-1].demand
    return [*pods, *more]


def arrivals(pods: Sequence[Pod], wanted: int, rng: random.Random | None) -> list[Pod]:
    """Pods until their demand reaches `wanted`: shuffled, or in the order of the list without `rng`.

    A list with too little demand is lengthened by drawing from it again, as the artefact does.
    """
    drawing = rng or random.Random(0)
    order = list(pods)
    if rng is not None:
        rng.shuffle(order)
    found: list[Pod] = []
    arrived = 0
    while arrived < wanted:
        found.append(order[len(found)] if len(found) < len(order) else drawing.choice(pods))
        arrived += found[-1].demand
    return found


def demand(pods: Iterable[Pod]) -> int:
    """What pods want of GPUs in all."""
    return sum(pod.demand for pod in pods)
