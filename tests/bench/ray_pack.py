"""Ray's PACK and STRICT_PACK for bundles of one whole GPU each, on hosts that have nothing else.

A small and fast model of what `src/ray/gcs/gcs_server/gcs_placement_group_scheduler` and
`src/ray/raylet/scheduling/policy/bundle_scheduling_policy.cc` do (ray 2.60). With bundles that are
all alike, the best host is the one with most GPUs free: it has the largest part of them left over.
PACK fills that host, drops it and goes on; STRICT_PACK does the same with all bundles as one. Which
of several equally good hosts it is depends on the order of a hash table: here, on chance.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeAlias

Piece: TypeAlias = tuple[int, int]
"""A host, by its number, and how many bundles it gets; pieces are in the order of the bundles."""


class RayPack:
    """Hosts with whole GPUs, and Ray's choice among them."""

    def __init__(self, free: Sequence[int], rng: random.Random) -> None:
        self._free = list(free)
        self._rng = rng
        self._with: list[list[int]] = [[] for _ in range(max(free) + 1)]  # hosts, by GPUs free
        self._at = [0] * len(free)  # where in its list a host stands
        for host, gpus in enumerate(free):
            self._at[host] = len(self._with[gpus])
            self._with[gpus].append(host)

    @property
    def free(self) -> Sequence[int]:
        """The free GPUs of each host."""
        return self._free

    def hosts_with(self, gpus: int) -> int:
        """How many hosts have so many GPUs free."""
        return len(self._with[gpus])

    def pack(self, bundles: int) -> list[Piece] | None:
        """Reserve with PACK; `None`: pending."""
        if sum(gpus * len(hosts) for gpus, hosts in enumerate(self._with)) < bundles:
            return None
        pieces: list[Piece] = []
        while bundles:
            most = max(gpus for gpus, hosts in enumerate(self._with) if hosts)
            pieces.append((self._rng.choice(self._with[most]), min(most, bundles)))
            # The host that is dropped has either no GPU left or the last of the bundles.
            self._take(*pieces[-1])
            bundles -= pieces[-1][1]
        return pieces

    def strict_pack(self, bundles: int) -> list[Piece] | None:
        """Reserve with STRICT_PACK; `None`: pending."""
        most = max(gpus for gpus, hosts in enumerate(self._with) if hosts)
        if most < bundles:
            return None
        piece = (self._rng.choice(self._with[most]), bundles)
        self._take(*piece)
        return [piece]

    def give_back(self, pieces: Sequence[Piece]) -> None:
        """Free what was reserved."""
        for host, count in pieces:
            self._take(host, -count)

    def _take(self, host: int, count: int) -> None:
        alike = self._with[self._free[host]]
        alike[self._at[host]] = alike[-1]
        self._at[alike[-1]] = self._at[host]
        alike.pop()
        self._free[host] -= count
        self._at[host] = len(self._with[self._free[host]])
        self._with[self._free[host]].append(host)
