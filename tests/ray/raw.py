"""Groups that tests make with Ray's own API, as other applications do."""

from __future__ import annotations

from typing import Any

from nodeinit.ray import RayCluster, groups


async def give_back(cluster: RayCluster, group: Any) -> None:
    """End a group and wait until its resources are back.

    `RayCluster.remove` would not: it ends what nodeinit made, and nothing else.
    """
    await cluster._removals.remove(groups.id_of(group))
