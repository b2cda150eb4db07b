"""A program that is a Ray of two hosts; does what it reads, and ends with its stdin.

It answers every line with the groups that there are. `abandon NAME` has an actor reserve a GPU and
kills the actor, `ask NAME` asks for more than there is, `drop NAME` removes a group.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import ray
from ray.util import get_placement_group, placement_group, remove_placement_group

from nodeinit.placement.topology import Bundle, PlacementPlan
from nodeinit.ray import group_notes, owners
from nodeinit.ray.cluster import RayCluster


def abandon(cluster: RayCluster, name: str) -> None:
    """Leave behind what an actor of this job has reserved."""
    assert cluster.hosts is not None
    plan = PlacementPlan((Bundle.of(GPU=1),), cluster.hosts.node_ids[:1])

    class Replica:
        def reserve(self) -> None:
            asyncio.run(RayCluster().reserve(plan, name))

    actor = ray.remote(Replica).options(num_cpus=0).remote()
    ray.get(actor.reserve.remote())
    ray.kill(actor)
    while not owners.gone(note.owner for note in group_notes.all_notes(name)):
        time.sleep(0.05)


def main() -> None:
    cluster = RayCluster.simulated(hosts=2, gpus_per_host=2)
    print(json.dumps({"address": ray.get_runtime_context().gcs_address}), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["abandon", name]:
                abandon(cluster, name)
            case ["ask", name]:
                placement_group([{"GPU": 1}] * 5, name=name)
            case ["drop", name]:
                remove_placement_group(get_placement_group(name))
        snapshot = asyncio.run(cluster.snapshot())
        print(json.dumps({"groups": [group.name for group in snapshot.groups]}), flush=True)
    asyncio.run(cluster.close())


if __name__ == "__main__":
    main()
