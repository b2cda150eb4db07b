"""A program that is a Ray of two hosts; answers what groups there are, and ends with its stdin."""

from __future__ import annotations

import asyncio
import json
import sys

import ray

from nodeinit.ray.cluster import RayCluster


def main() -> None:
    cluster = RayCluster.simulated(hosts=2, gpus_per_host=2)
    print(json.dumps({"address": ray.get_runtime_context().gcs_address}), flush=True)
    for _ in sys.stdin:
        snapshot = asyncio.run(cluster.snapshot())
        print(json.dumps({"groups": [group.name for group in snapshot.groups]}), flush=True)
    asyncio.run(cluster.close())


if __name__ == "__main__":
    main()
