"""Noticing that a placement is no longer good."""

from __future__ import annotations

import asyncio

from nodeinit.errors import TemporaryError
from nodeinit.placement.topology import Placement
from nodeinit.ray import group_rows, hosts
from nodeinit.ray.polling import Call

_LOOK = 0.5  # seconds between two looks
_SILENCE = 30.0  # seconds without an answer of Ray that count as a loss


async def lost(call: Call, placement: Placement) -> str:
    """Wait until a placement is no longer good and say why. See `Cluster.lost`."""
    now = asyncio.get_running_loop().time
    heard = now()
    while True:
        try:
            why: str | None = await call(why_lost, placement)
            heard = now()
        except TemporaryError as error:
            silent = now() - heard
            why = f"no answer for {silent:.0f} s: {error}" if silent > _SILENCE else None
        if why is not None:
            return why
        await asyncio.sleep(_LOOK)


def why_lost(placement: Placement) -> str | None:
    """What is wrong with a placement now; `None` when it is still as it was read back. Blocking."""
    row = group_rows.read(placement.group_id)
    # Asked after the group: Ray moves bundles because a host died, and that is what to say.
    alive = hosts.living()
    for node_id in placement.hosts:
        if node_id not in alive:
            return f"host {hosts.host_name(node_id)} died"
    group = f"the placement group {placement.name or placement.group_id}"
    if row is None or row.state == group_rows.REMOVED:
        return f"{group} was removed by somebody else"
    if row.state != group_rows.CREATED:
        return f"{group} is {row.state}: Ray is moving its bundles"
    if row.node_ids != placement.node_ids:
        return f"Ray moved bundles of {group} to other hosts"
    return None
