"""What callbacks use of Ray, answered by the simulated cluster of the run that is under way.

The names are Ray's. A group for which there is no room is pending, as it is with Ray, until `ready`
finds room or the caller gives up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nodeinit.clusters.simulated import SimCluster, SimGroup
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, PlacementPlan, amount

_current: list[SimCluster] = []
_ids = itertools.count()


def use(cluster: SimCluster) -> None:
    """From now on it is this cluster."""
    global _ids
    _current[:] = [cluster]
    _ids = itertools.count()


@contextlib.contextmanager
def following() -> Iterator[None]:
    """Whatever cluster was made last is the one that callbacks see."""
    make = SimCluster.__init__

    def made(self: SimCluster, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        use(self)

    SimCluster.__init__ = made  # type: ignore[method-assign]
    try:
        yield
    finally:
        SimCluster.__init__ = make  # type: ignore[method-assign]
        _current.clear()


def nodes() -> list[dict[str, Any]]:
    """`ray.nodes()`, and what is free besides."""
    return [
        {
            "NodeID": host.node_id,
            "Alive": host.alive,
            "Resources": {name: amount(value) for name, value in host.total.items()},
            "Available": {name: amount(value) for name, value in host.available.items()},
            "Labels": dict(host.labels),
        }
        for host in _current[0].now().hosts
    ]


def placement_group(
    bundles: Sequence[Mapping[str, float]],
    strategy: str = "PACK",
    name: str = "",
    bundle_label_selector: Sequence[Mapping[str, str]] | None = None,
) -> SimGroup:
    """A group where the cluster has room for it now, else one that is pending."""
    name = name or f"users-{next(_ids)}"
    labels = bundle_label_selector or [{}] * len(bundles)
    asked = tuple(Bundle.from_units(b, at) for b, at in zip(bundles, labels, strict=True))
    group = SimGroup(name, name, strategy, asked, (), ours=False, state="PENDING")
    _place(group)
    return group


async def ready(group: SimGroup) -> None:
    """Wait until the group has a place."""
    await asyncio.sleep(0.2)
    while not _place(group):
        await asyncio.sleep(1)


def remove_placement_group(group: SimGroup) -> None:
    """Give a group back; one that is gone already is fine."""
    if _current[0].groups.get(group.name) is group:
        del _current[0].groups[group.name]
    group.state = "REMOVED"


def placement_groups() -> list[SimGroup]:
    """All groups of the cluster, whosever they are."""
    return list(_current[0].groups.values())


def _place(group: SimGroup) -> bool:
    if group.state == "PENDING":
        request = PlacementRequest(group.bundles, group.strategy)
        found = plan(request, _current[0].now())
        if isinstance(found, PlacementPlan):
            group.node_ids, group.state = found.node_ids, "CREATED"
            _current[0].groups[group.name] = group
    return group.state == "CREATED"
