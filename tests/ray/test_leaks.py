"""Nothing is left behind, whatever happens at whatever moment.

`NODEINIT_RUNS=2000 pytest tests/ray/test_leaks.py` makes at least as many injections as it says.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from nodeinit.download.manifest import Manifest
from nodeinit.ray import RayCluster, group_notes
from tests.ray.conftest import GPUS, on_hosts, run
from tests.ray.injections import INJECTIONS, Case, killed_driver
from tests.ray.test_reservations import hosts_of

RUNS = int(os.environ.get("NODEINIT_RUNS", "40"))
SEED = int(os.environ.get("NODEINIT_SEED", "7"))


async def ledger(cluster: RayCluster) -> dict[str, object]:
    """What there is of groups, and what is free on each host."""
    snapshot = await cluster.snapshot()
    return {
        "groups": [(group.name, group.state) for group in snapshot.groups],
        **{host.name: dict(host.available) for host in snapshot.alive},
    }


@pytest.mark.timeout(120 + RUNS)
def test_whatever_is_injected_nothing_is_left(cluster: RayCluster, model: Manifest) -> None:
    rng = random.Random(SEED)
    counted = collections.Counter[str]()

    async def main() -> None:
        before = await ledger(cluster)
        for number in range(RUNS):
            injection = INJECTIONS[number % len(INJECTIONS)]
            case = Case(random.Random(rng.random()), f"leak-{number}", cluster, model)
            await injection(case)
            counted[injection.__name__] += 1
            # At once, without a moment's grace: a removal ends when all is back.
            where = f"{injection.__name__}, number {number} of seed {SEED}"
            assert await ledger(cluster) == before, where
            assert group_notes.all_notes() == [], where
        await every_gpu_can_be_had(cluster)

    run(main)
    print(f"\n{dict(counted)}, none left anything")


@pytest.mark.timeout(120 + RUNS)
def test_a_driver_that_is_killed_leaves_no_group_and_no_gpu(
    cluster: RayCluster, model: Manifest
) -> None:
    rng = random.Random(SEED)
    kills = max(3, RUNS // 40)
    reserved = 0

    async def main() -> None:
        nonlocal reserved
        before = await ledger(cluster)
        for number in range(kills):
            case = Case(random.Random(rng.random()), f"killed-{number}", cluster, model)
            reserved += await asyncio.to_thread(killed_driver, case)
            for _ in range(100):  # Ray has to notice first
                if await ledger(cluster) == before:
                    break
                await asyncio.sleep(0.05)
            assert await ledger(cluster) == before, f"number {number} of seed {SEED}"
            found = (await cluster.checkup()).leftovers
            assert {str(one.kind) for one in found} <= {"note"}
            assert await cluster.sweep(found) == ()
            assert group_notes.all_notes() == []
        await every_gpu_can_be_had(cluster)

    run(main)
    print(f"\n{kills} drivers killed in {reserved} reservations, none left anything")


async def every_gpu_can_be_had(cluster: RayCluster) -> None:
    """Ray's books say what is free; its hosts agree."""
    await cluster.reserve(on_hosts(*hosts_of(cluster) * GPUS), "all")
    await cluster.remove("all")


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_what_the_usual_way_leaves_behind() -> None:
    """Create, then remove within half a millisecond, on a Ray of its own."""
    count = int(os.environ.get("NODEINIT_RUNS", "300"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.ray.naive", str(count)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{found['leaked']} of {count} groups leaked their GPUs (Ray {found['ray']})")
    assert found["leaked"] > 0
