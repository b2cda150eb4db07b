"""Another process of the cluster that reserves, and may be killed at any moment.

    python -m tests.ray.drivers ADDRESS NAME GPUS NODE_ID...

Connects, begins to reserve a plan with so many GPUs on each of the hosts, says what it does in one
word a line (`connected`, `reserved`, `removed`), and does it again with every line that it reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ray

from nodeinit.placement.topology import Bundle, PlacementPlan
from nodeinit.ray import RayCluster


@contextlib.contextmanager
def driver(name: str, gpus: int, *node_ids: str) -> Iterator[subprocess.Popen[str]]:
    """The program under way on the cluster of this process, once it is connected."""
    address = ray.get_runtime_context().gcs_address
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ray.drivers", address, name, str(gpus), *node_ids],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "RAY_AUTH_MODE": "token"},
    ) as process:
        try:
            assert heard(process) == "connected"
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> str:
    """What the program says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    """Let the program take its next step."""
    assert process.stdin is not None
    print(file=process.stdin, flush=True)


def main(address: str, name: str, gpus: str, *node_ids: str) -> None:
    cluster = RayCluster.connect(address)
    bundles = (Bundle.of(GPU=1),) * int(gpus) * len(node_ids)
    plan = PlacementPlan(bundles, tuple(node for node in node_ids for _ in range(int(gpus))))
    print("connected", flush=True)

    async def run() -> None:
        while sys.stdin.readline():
            await cluster.reserve(plan, name)
            print("reserved", flush=True)
            if not sys.stdin.readline():
                return
            await cluster.remove(name)
            print("removed", flush=True)

    asyncio.run(run())
    asyncio.run(cluster.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
