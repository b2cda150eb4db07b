"""What plans and groups take of their hosts, and what hosts lack. Amounts are in fixed point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from nodeinit.placement.topology import Bundle, PlacementPlan, amount
from nodeinit.ray import hosts
from nodeinit.ray.group_rows import Row

Amounts: TypeAlias = Mapping[str, Mapping[str, int]]
"""Amounts by node id and resource."""


def lacking(plan: PlacementPlan) -> str | None:
    """What the hosts of a plan lack for it right now; `None` when they have all of it. Blocking."""
    present = {host.node_id: host for host in hosts.read_hosts()}
    for node_id, needs in _sums(zip(plan.bundles, plan.node_ids, strict=True)).items():
        host = present.get(node_id)
        if host is None or not host.alive:
            return f"host {host.name if host else node_id} is dead"
        for resource, need in sorted(needs.items()):
            if host.free(resource) < need:
                free = amount(host.free(resource))
                return f"host {host.name} has {free:g} {resource} free of {amount(need):g} needed"
    return None


def held_by(row: Row) -> Amounts:
    """What a group holds of each of its hosts."""
    placed = zip(row.bundles, row.node_ids, strict=True)
    return _sums((bundle, node_id) for bundle, node_id in placed if node_id is not None)


def is_back(held: Amounts, before: Amounts, now: Amounts) -> bool:
    """Whether hosts have again what a group held, by what was free there before and is now.

    A host that died has nothing to give back.
    """
    return all(
        now[node_id].get(resource, 0) >= before[node_id].get(resource, 0) + value
        for node_id, amounts in held.items()
        if node_id in before and node_id in now
        for resource, value in amounts.items()
    )


def _sums(placed: Iterable[tuple[Bundle, str]]) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {}
    for bundle, node_id in placed:
        needs = sums.setdefault(node_id, {})
        for resource, value in bundle.resources.items():
            needs[resource] = needs.get(resource, 0) + value
    return sums
