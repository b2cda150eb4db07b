"""What people write: make a group, and remove it when it is not wanted after all.

    python -m tests.ray.naive COUNT

On a Ray of its own, which is of no use to anybody afterwards. Prints how many of so many groups,
removed within half a millisecond, left their GPUs taken for good.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import ray
from ray.util import placement_group, remove_placement_group

from nodeinit.placement.topology import UNIT
from nodeinit.ray import RayCluster

_HOSTS, _GPUS, _EACH = 3, 8, 4


def create_then_remove(pause: float) -> None:
    """The usual way, with so many seconds between."""
    group = placement_group([{"GPU": 1}] * _EACH)
    time.sleep(pause)
    remove_placement_group(group)


async def leaks(count: int) -> int:
    """How many groups leaked."""
    rng = random.Random(1)
    cluster = RayCluster.simulated(hosts=_HOSTS, gpus_per_host=_GPUS)

    async def free() -> int:
        return sum(host.free("GPU") for host in (await cluster.snapshot()).alive)

    leaked, expected = 0, _HOSTS * _GPUS * UNIT
    try:
        for _ in range(count):
            create_then_remove(rng.uniform(0, 0.0005))
            for _ in range(20):  # it takes a tenth of a second at most
                await asyncio.sleep(0.02)
                if (now := await free()) == expected:
                    break
            else:
                leaked += 1
                expected = now
            if expected < _EACH * UNIT:
                await cluster.close()  # nothing is left to leak
                cluster = RayCluster.simulated(hosts=_HOSTS, gpus_per_host=_GPUS)
                expected = _HOSTS * _GPUS * UNIT
    finally:
        await cluster.close()
    return leaked


if __name__ == "__main__":
    ray_version = ray.__version__
    groups = int(sys.argv[1])
    found = asyncio.run(leaks(groups))
    print(json.dumps({"ray": ray_version, "groups": groups, "leaked": found}), flush=True)
