"""A ledger of what every host has left, down to the single GPU, kept without asking Ray.

Ray reports sums only. Its hosts give GPUs out by rules (`resource_instance_set.cc`), so whoever sees
all groups come and go can tell which GPUs are taken: bundles by index, whole GPUs from the first on,
a fraction from the GPU where the least remains, and back to the same ones in the end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import attrs

from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot


class Ledger:
    """Begins with hosts of which nothing is taken."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._free = {host.node_id: Counter(dict(host.available)) for host in snapshot.alive}
        self._gpus = {host.node_id: [UNIT] * (host.free("GPU") // UNIT) for host in snapshot.alive}
        self._held: dict[str, list[tuple[str, Bundle, dict[int, int]]]] = {}

    @property
    def names(self) -> list[str]:
        """The groups that hold something."""
        return [*self._held]

    @property
    def load(self) -> float:
        """The part of all GPUs that is taken."""
        single = [free for gpus in self._gpus.values() for free in gpus]
        return 1 - sum(single) / (UNIT * len(single))

    def take(self, name: str, bundles: Sequence[Bundle], node_ids: Sequence[str]) -> None:
        """A group got its bundles."""
        held = self._held[name] = []
        for bundle, node_id in zip(bundles, node_ids, strict=True):
            self._free[node_id].subtract(dict(bundle.resources))
            held.append((node_id, bundle, _allocate(self._gpus[node_id], bundle.gpu)))

    def give_back(self, name: str) -> None:
        """A group is gone."""
        for node_id, bundle, shares in self._held.pop(name):
            self._free[node_id].update(dict(bundle.resources))
            for gpu, share in shares.items():
                self._gpus[node_id][gpu] += share

    def on(self, snapshot: ClusterSnapshot) -> ClusterSnapshot:
        """A snapshot of Ray's with the single GPUs filled in."""
        hosts = (
            attrs.evolve(host, gpus=tuple(self._gpus[host.node_id])) if host.alive else host
            for host in snapshot.hosts
        )
        return attrs.evolve(snapshot, hosts=tuple(hosts))

    def differs(self, snapshot: ClusterSnapshot) -> dict[str, dict[str, tuple[int, int]]]:
        """What a snapshot of Ray's says otherwise: by node id and resource, the ledger's and Ray's."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for host in snapshot.alive:
            mine = self._free[host.node_id]
            assert mine["GPU"] == sum(self._gpus[host.node_id])
            wrong = {n: (mine[n], host.free(n)) for n in mine if host.free(n) not in _told(mine[n])}
            if wrong:
                found[host.node_id] = wrong
        return found


def _told(value: int) -> tuple[int, int]:
    """What Ray may say that is free: hosts tell each other in doubles, which are truncated again."""
    return value, math.trunc(value / UNIT * UNIT)


def _allocate(free: list[int], need: int) -> dict[int, int]:
    """Take GPUs of a host; answers how much of which."""
    shares: dict[int, int] = {}
    for gpu, amount in enumerate(free):
        if need >= UNIT and amount == UNIT:
            shares[gpu], need = UNIT, need - UNIT
            free[gpu] = 0
    if need:
        fitting = [gpu for gpu, amount in enumerate(free) if amount >= need]
        gpu = min(fitting, key=lambda gpu: (free[gpu], gpu))
        shares[gpu] = need
        free[gpu] -= need
    return shares
