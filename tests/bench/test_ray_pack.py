"""The fast model of Ray's PACK that the benches use, against a real Ray. `pytest -m bench`."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence

import pytest
from ray.util import placement_group

from nodeinit.placement.topology import UNIT
from nodeinit.ray import RayCluster, groups
from tests.bench.ray_pack import Piece, RayPack

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(300)]

HOSTS, GPUS, ROUNDS = 4, 4, 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    cluster = RayCluster.simulated(hosts=HOSTS, gpus_per_host=GPUS)
    yield cluster
    asyncio.run(cluster.close())


def test_ray_does_what_the_model_does(cluster: RayCluster) -> None:
    """Groups of random sizes until one is pending, again and again: the same hosts but for ties."""
    rng = random.Random(0)

    async def main() -> int:
        compared = 0
        for number in range(ROUNDS):
            hosts = (await cluster.snapshot()).alive
            free = {host.node_id: GPUS for host in hosts if host.free("GPU") == GPUS * UNIT}
            assert len(free) == HOSTS
            names: list[str] = []
            pending = False
            while not pending:
                names.append(f"group-{number}-{len(names)}")
                strategy, size = rng.choice(["PACK", "STRICT_PACK"]), rng.randint(1, 6)
                expected = modelled(strategy, size, [*free.values()])
                assert await asked_of_ray(names[-1], strategy, size, free) == expected
                pending = expected is None
                compared += 1
            for name in names:
                await cluster.remove(name)
        return compared

    compared = asyncio.run(main())
    print(f"\n{compared} groups, each on hosts as the model says")


def modelled(strategy: str, size: int, free: Sequence[int]) -> list[Piece] | None:
    """How many GPUs were free on each host that gets some, and how many it gets, in order."""
    model = RayPack(free, random.Random(0))
    pieces = model.pack(size) if strategy == "PACK" else model.strict_pack(size)
    return None if pieces is None else [(free[host], count) for host, count in pieces]


async def asked_of_ray(
    name: str, strategy: str, size: int, free: dict[str, int]
) -> list[Piece] | None:
    """The same of what Ray made of it; `free` is then what is left."""
    group = placement_group([{"GPU": 1}] * size, strategy=strategy, name=name)
    while True:
        row = groups.read(group.id.hex())
        assert row is not None
        if row.state == groups.CREATED:
            break
        if row.state == "PENDING" and row.reason in ("NO_RESOURCES", groups.INFEASIBLE):
            return None
        await asyncio.sleep(0.002)
    found = [(node_id or "", len([*run])) for node_id, run in itertools.groupby(row.node_ids)]
    pieces = [(free[node_id], count) for node_id, count in found]
    for node_id, count in found:
        free[node_id] -= count
    return pieces
