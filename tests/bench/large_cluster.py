"""Clusters of any size to plan on, as real ones look: no two hosts are alike, and most are in use."""

from __future__ import annotations

import functools
import random

from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Group, Host

_GIB = 2**30 * UNIT
_GPUS, _CPUS, _MEMORY = 8, 192, 2_048
_TAKEN = (0, 8, 4, 0, 2, 7, 0, 6, 0, 3)
"""GPUs in use on ten hosts in a row, so that every cluster is as full as the others."""


@functools.cache
def cluster(hosts: int, *, most_free: int = _GPUS) -> ClusterSnapshot:
    """A cluster with that many hosts, none of which has more than `most_free` GPUs free.

    What is taken of GPUs is held by one group on each host; CPU and memory are taken by others too.
    """
    rng = random.Random(hosts)
    made = [_host(i, max(_TAKEN[i % 10], _GPUS - most_free), rng) for i in range(hosts)]
    return ClusterSnapshot(
        tuple(host for host, _ in made), tuple(group for _, group in made if group is not None)
    )


def _host(number: int, taken: int, rng: random.Random) -> tuple[Host, Group | None]:
    node_id = f"{rng.getrandbits(160):040x}"
    total = {
        "GPU": _GPUS * UNIT,
        "CPU": _CPUS * UNIT,
        "memory": _MEMORY * _GIB,
        "accelerator_type:H100": UNIT,
        f"node:10.0.{number // 250}.{number % 250 + 1}": UNIT,
    }
    available = {
        **total,
        "GPU": (_GPUS - taken) * UNIT,
        "CPU": rng.randint(64, _CPUS) * UNIT,
        "memory": rng.randint(512, _MEMORY) * _GIB,
    }
    labels = {
        "ray.io/node-id": node_id,
        "ray.io/accelerator-type": "H100",
        "zone": "abc"[number % 3],
    }
    host = Host(node_id, f"host-{number}", total, available, labels)
    if not taken:
        return host, None
    bundles = (Bundle.of(GPU=1),) * taken
    name = f"replica-{number}"
    return host, Group(name, name, "CREATED", bundles, "PACK", (node_id,) * taken)
