"""What replicas of a model left that were killed: their successor clears it away.

Groups at once, since it may need what they hold. Fetches not before it has its own files: what was
half-fetched on its hosts it takes up and goes on from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from nodeinit.ray import posts
from nodeinit.ray.cluster import RayCluster
from nodeinit.ray.group_rows import LiveRows
from nodeinit.ray.leftovers import Kind, leftovers

log = logging.getLogger("nodeinit.ray")

GROUPS = (Kind.GROUP, Kind.NOTE)
_WITHIN = 25.0  # seconds; a host that does not answer is left to `nodeinit doctor --sweep`


async def tidy(prefix: str | tuple[str, ...], kinds: Collection[Kind] = tuple(Kind)) -> None:
    """Clear away what is left of nodes whose names begin so and whose process is no more.

    `prefix` may be several.

    Raises nothing: what stays is logged, and found again by the doctor.
    """
    try:
        async with asyncio.timeout(_WITHIN):
            rows = await asyncio.to_thread(LiveRows().read)
            found = await asyncio.to_thread(leftovers, rows)
            mine = [one for one in found if one.name.startswith(prefix) and one.kind in kinds]
            stays = await RayCluster().sweep(mine)
            await asyncio.to_thread(posts.forget_the_gone)
        for leftover, why in stays:
            log.warning("%s %s stays: %s", leftover.kind, leftover.name, why)
    except Exception as error:
        log.warning("could not clear away what earlier replicas left: %s", error)
