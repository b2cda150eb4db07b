"""Replicas of LLMs that come and go on a cluster of hosts with eight GPUs, asked for in three ways."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import attrs

from nodeinit.placement.batch import occupied
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, ClusterSnapshot, Host
from tests.bench.ray_pack import Piece, RayPack

PER_HOST = 8
"""GPUs of a host."""


@attrs.frozen
class Shape:
    """The sizes of one replica."""

    tp: int
    pp: int = 1

    @property
    def gpus(self) -> int:
        return self.tp * self.pp


MIX = {
    Shape(1): 40,
    Shape(2): 20,
    Shape(4): 18,
    Shape(8): 12,
    Shape(4, 2): 5,
    Shape(2, 2): 3,
    Shape(8, 2): 2,
}
"""How frequent each shape is, percent: small models most of all, and a few large ones."""

MEAN_GPUS = sum(shape.gpus * percent for shape, percent in MIX.items()) / 100


@attrs.frozen
class Arrival:
    """A replica that is asked for at a time and, where it is placed, stays for a while."""

    at: float
    stays: float
    shape: Shape


@attrs.frozen
class Placed:
    """Where a replica is: the host of each worker, by rank, and what gives it back."""

    hosts: Sequence[int | str]
    handle: Any

    def is_split(self, shape: Shape) -> bool:
        """Whether some tensor-parallel group is on several hosts."""
        groups = (self.hosts[i : i + shape.tp] for i in range(0, shape.gpus, shape.tp))
        return any(len(set(group)) > 1 for group in groups)


class Way(Protocol):
    """A way of asking for replicas."""

    def place(self, shape: Shape) -> Placed | None:
        """Place a replica; `None`: it is pending."""

    def remove(self, placed: Placed) -> None:
        """Give back what a replica holds."""

    def idle(self) -> int:
        """How many hosts are wholly free."""


class Packs:
    """Ray's PACK for every replica, as Ray Serve LLM asks; `strict`: STRICT_PACK without stages."""

    def __init__(self, hosts: int, rng: random.Random, *, strict: bool) -> None:
        self._ray = RayPack([PER_HOST] * hosts, rng)
        self._strict = strict

    def place(self, shape: Shape) -> Placed | None:
        strict = self._strict and shape.pp == 1
        pieces = (self._ray.strict_pack if strict else self._ray.pack)(shape.gpus)
        if pieces is None:
            return None
        return Placed([host for host, count in pieces for _ in range(count)], pieces)

    def remove(self, placed: Placed) -> None:
        pieces: list[Piece] = placed.handle
        self._ray.give_back(pieces)

    def idle(self) -> int:
        return self._ray.hosts_with(PER_HOST)


class Plans:
    """Ours: planned, and then reserved exactly so."""

    def __init__(self, hosts: int) -> None:
        total = {"GPU": PER_HOST * UNIT}
        self._snapshot = ClusterSnapshot(
            tuple(Host(f"{i:05}", f"host-{i}", total, total) for i in range(hosts))
        )
        self._requests = {shape: PlacementRequest.of(shape.tp, shape.pp) for shape in MIX}
        self._placed = 0
        self._idle = hosts

    def place(self, shape: Shape) -> Placed | None:
        plan = find(self._requests[shape], self._snapshot).plan
        if plan is None:
            return None
        self._placed += 1
        name = f"replica-{self._placed}"
        self._idle -= self._whole(plan.hosts)
        self._snapshot = occupied(self._snapshot, name, plan)
        return Placed(plan.node_ids, (name, plan.hosts))

    def remove(self, placed: Placed) -> None:
        name, hosts = placed.handle
        group = next(group for group in self._snapshot.groups if group.name == name)
        self._snapshot = self._snapshot.without(group)
        self._idle += self._whole(hosts)

    def idle(self) -> int:
        return self._idle

    def _whole(self, hosts: Iterable[str]) -> int:
        found = (self._snapshot.host(node_id) for node_id in hosts)
        return sum(host is not None and host.free("GPU") == PER_HOST * UNIT for host in found)


@attrs.define
class Tally:
    """What came of the replicas that arrived once the cluster was in its usual state."""

    arrived: int = 0
    placed: int = 0
    split: int = 0
    large: int = 0
    large_pending: int = 0
    idle: int = 0

    def count(self, shape: Shape, placed: Placed | None, idle: int) -> None:
        self.arrived += 1
        self.placed += placed is not None
        self.split += placed is not None and placed.is_split(shape)
        self.large += shape.gpus >= PER_HOST
        self.large_pending += shape.gpus >= PER_HOST and placed is None
        self.idle += idle


def draw(hosts: int, load: float, most: int, rng: random.Random) -> tuple[list[Arrival], int]:
    """Arrivals at random that ask for `load` of all GPUs in the mean, and how many warm it up.

    It takes about three times as long as a replica stays until the start is forgotten.
    """
    together = load * hosts * PER_HOST / MEAN_GPUS  # replicas at once, if all were placed
    warm = int(3 * together)
    shapes = rng.choices([*MIX], [*MIX.values()], k=warm + most)
    now, found = 0.0, []
    for shape in shapes:
        now += rng.expovariate(together)
        found.append(Arrival(now, rng.expovariate(1), shape))
    return found, warm


def churn(way: Way, arrivals: Iterable[Arrival], warm: int) -> Tally:
    """Let replicas come and go. One that is pending when it arrives is not asked for again."""
    tally = Tally()
    leaving: list[tuple[float, int, Placed]] = []
    for number, arrival in enumerate(arrivals):
        while leaving and leaving[0][0] <= arrival.at:
            way.remove(heapq.heappop(leaving)[2])
        idle = way.idle()
        placed = way.place(arrival.shape)
        if placed is not None:
            heapq.heappush(leaving, (arrival.at + arrival.stays, number, placed))
        if number >= warm:
            tally.count(arrival.shape, placed, idle)
    return tally
