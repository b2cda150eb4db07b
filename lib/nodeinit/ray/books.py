"""Whether what Ray says is free and what is known to hold resources add up. Blocking calls.

Ray's own books can be wrong for good: a group that is removed while it is being placed may leave
its GPUs taken by nobody (ray-project/ray#64693).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs
import ray
from ray.core.generated import gcs_pb2

from nodeinit.placement.checks import DEVICES
from nodeinit.placement.topology import ClusterSnapshot, reported
from nodeinit.ray.accessor import accessor


@attrs.frozen
class Outsider:
    """A living actor that holds resources (fixed point) of its host outside every group."""

    name: str
    node_id: str
    resources: dict[str, int]


@attrs.frozen
class Gap:
    """Devices of a host that no group holds although they are not free.

    `taken` is how many (fixed point), and `outsiders` are the actors that hold some of them.
    `unknown` is what is left then: tasks outside groups hold them, or nobody does. Below zero, the
    groups hold more than Ray counts as taken.
    """

    node_id: str
    host: str
    resource: str
    taken: int
    outsiders: tuple[str, ...]
    unknown: int


def outsiders() -> tuple[Outsider, ...]:
    """The living actors outside groups that hold devices."""
    nil = ray.PlacementGroupID.nil().binary()
    found = []
    for data in accessor().get_actor_table(None, "ALIVE"):
        actor = gcs_pb2.ActorTableData.FromString(data)
        held = {name: reported(units) for name, units in actor.required_resources.items()}
        if any(held.get(name) for name in DEVICES) and actor.placement_group_id in (b"", nil):
            name = actor.name or actor.class_name
            found.append(Outsider(name, actor.address.node_id.hex(), held))
    return tuple(found)


def gaps(snapshot: ClusterSnapshot, outside: Iterable[Outsider]) -> tuple[Gap, ...]:
    """Every living host whose devices do not add up."""
    held: Counter[tuple[str | None, str]] = Counter()
    for group in snapshot.groups:
        for bundle, node_id in zip(group.bundles, group.assigned, strict=True):
            for name in DEVICES:
                held[node_id, name] += int(bundle.resources.get(name, 0))
    outside = tuple(outside)
    found = []
    for host in snapshot.alive:
        for name in DEVICES:
            taken = int(host.total.get(name, 0)) - host.free(name) - held[host.node_id, name]
            actors = [a for a in outside if a.node_id == host.node_id and a.resources.get(name)]
            if taken:
                unknown = taken - sum(actor.resources[name] for actor in actors)
                called = tuple(actor.name for actor in actors)
                found.append(Gap(host.node_id, host.name, name, taken, called, unknown))
    return tuple(found)
