"""The fast model of Ray's PACK that the benches use, against a real Ray. `pytest -m bench`."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ray.util import placement_group

from nodeinit.placement.ray_policy import RayPolicy
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host
from nodeinit.ray import RayCluster, group_rows
from tests.bench.ray_pack import Piece, RayPack
from tests.ray.raw import give_back

pytestmark = pytest.mark.bench

HOSTS, GPUS, ROUNDS = 4, 4, 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    cluster = RayCluster.simulated(hosts=HOSTS, gpus_per_host=GPUS)
    yield cluster
    asyncio.run(cluster.close())


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_ray_does_what_the_model_does(cluster: RayCluster) -> None:
    """Groups of random sizes until one is pending, again and again: the same hosts but for ties."""
    rng = random.Random(0)

    async def main() -> int:
        compared = 0
        for _ in range(ROUNDS):
            hosts = (await cluster.snapshot()).alive
            free = {host.node_id: GPUS for host in hosts if host.free("GPU") == GPUS * UNIT}
            assert len(free) == HOSTS
            made: list[Any] = []
            pending = False
            while not pending:
                strategy, size = rng.choice(["PACK", "STRICT_PACK"]), rng.randint(1, 6)
                expected = modelled(strategy, size, [*free.values()])
                made.append(placement_group([{"GPU": 1}] * size, strategy=strategy))
                assert await made_by_ray(made[-1], free) == expected
                pending = expected is None
                compared += 1
            for group in made:
                await give_back(cluster, group)
        return compared

    compared = asyncio.run(main())
    print(f"\n{compared} groups, each on hosts as the model says")


@pytest.mark.parametrize("seed", range(300))
def test_the_full_model_says_the_same(seed: int) -> None:
    rng = random.Random(seed)
    free = [rng.randint(0, 8) for _ in range(rng.randint(1, 6))]
    hosts = tuple(
        Host(str(i), str(i), {"GPU": 8 * UNIT}, {"GPU": gpus * UNIT}) for i, gpus in enumerate(free)
    )
    strategy, size = rng.choice(["PACK", "STRICT_PACK"]), rng.randint(1, 16)
    policy = RayPolicy([Bundle.of(GPU=1)] * size, strategy, ClusterSnapshot(hosts))
    runs = itertools.groupby(policy.run().node_ids)
    pieces = [(free[int(host)], len([*run])) for host, run in runs]
    assert (pieces or None) == modelled(strategy, size, free)


def modelled(strategy: str, size: int, free: Sequence[int]) -> list[Piece] | None:
    """How many GPUs were free on each host that gets some, and how many it gets, in order."""
    model = RayPack(free, random.Random(0))
    pieces = model.pack(size) if strategy == "PACK" else model.strict_pack(size)
    return None if pieces is None else [(free[host], count) for host, count in pieces]


async def made_by_ray(group: Any, free: dict[str, int]) -> list[Piece] | None:
    """The same of what Ray made of a group; `free` is then what is left."""
    while True:
        row = group_rows.read(group.id.hex())
        assert row is not None
        if row.state == group_rows.CREATED:
            break
        if row.state == "PENDING" and row.reason in ("NO_RESOURCES", group_rows.INFEASIBLE):
            return None
        await asyncio.sleep(0.002)
    found = [(node_id or "", len([*run])) for node_id, run in itertools.groupby(row.node_ids)]
    pieces = [(free[node_id], count) for node_id, count in found]
    for node_id, count in found:
        free[node_id] -= count
    return pieces
