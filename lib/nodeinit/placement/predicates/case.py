"""What is judged: bundles and their hosts, and all that is known around them."""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import attrs

from nodeinit.placement.hosts import Bundle, Host, names
from nodeinit.placement.placed import Placement, PlacementPlan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import ClusterSnapshot

Finding: TypeAlias = tuple[str, int | None, str | None]
"""What breaks a rule: a message, and the bundle and the host where that can be said."""


@attrs.frozen(eq=False)
class Case:
    """What is judged: bundles and their hosts, by index, however they came to be known.

    `model_on` are the hosts that have the model, where that is known.
    """

    request: PlacementRequest
    bundles: tuple[Bundle, ...]
    node_ids: tuple[str | None, ...]
    snapshot: ClusterSnapshot
    plan: PlacementPlan | None = None
    placement: Placement | None = None
    model_on: frozenset[str] | None = None

    @cached_property
    def hosts(self) -> dict[str, Host]:
        """The hosts of the bundles by id, as far as the snapshot knows them."""
        found = {node_id: self.snapshot.host(node_id) for node_id in self.node_ids if node_id}
        return {node_id: host for node_id, host in found.items() if host is not None}

    @cached_property
    def by_host(self) -> dict[str, list[int]]:
        """The bundles of each known host that is used, by index."""
        found: dict[str, list[int]] = {}
        for i, node_id in enumerate(self.node_ids):
            if node_id in self.hosts:
                found.setdefault(str(node_id), []).append(i)
        return found

    def node_id(self, bundle: int) -> str | None:
        """The host of a bundle, `None` where it has none."""
        return self.node_ids[bundle] if bundle < len(self.node_ids) else None

    def name(self, node_id: str | None) -> str:
        """What to call a host in a message."""
        return self.names.get(node_id or "", repr(node_id))

    @cached_property
    def names(self) -> dict[str, str]:
        """What to call each host, by id."""
        return names(self.snapshot.hosts)
