"""Ray's hosts as the planner sees them. Blocking calls."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray._private import state

from nodeinit.placement.topology import Host, reported

# What a bundle holds is also listed under names of its own: GPU_group_0_<id of the group>.
_GROUPED = re.compile(r"_group_(\d+_)?[0-9a-f]{36}$")


class HostReader:
    """Reads the hosts of the cluster; one of which nothing has changed is the object that it was."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Host]] = {}

    def read(self) -> tuple[Host, ...]:
        """All hosts that the cluster knows, the dead ones too, with what is free of them.

        A host that is being drained counts as dead: Ray puts nothing there any more.
        """
        rows = sorted(ray.nodes(), key=lambda row: str(row["NodeID"]))
        free = state.available_resources_per_node()
        draining = state.state.get_draining_nodes()
        names, addresses = unique_names(rows), _addresses(rows)
        known: dict[str, tuple[Any, Host]] = {}
        for row in rows:
            node_id = row["NodeID"]
            alive = row["Alive"] and node_id not in draining
            said = (row, free.get(node_id, {}), alive, names[node_id], addresses[node_id])
            before = self._known.get(node_id)
            # Compared as Ray says it: to make a host of it costs more than all the rest.
            known[node_id] = before if before and before[0] == said else (said, _host(*said))
        self._known = known
        return tuple(host for _, host in known.values())


def read_hosts() -> tuple[Host, ...]:
    """All hosts that the cluster knows, once."""
    return HostReader().read()


def living() -> frozenset[str]:
    """The ids of the hosts that are alive, as far as Ray knows."""
    return frozenset(row["NodeID"] for row in ray.nodes() if row["Alive"])


def host_name(node_id: str) -> str:
    """What a person calls a host; its id if the cluster does not know it."""
    return unique_names(ray.nodes()).get(node_id, node_id)


def free_on(node_ids: Iterable[str]) -> dict[str, Mapping[str, int]]:
    """What is free on hosts now, fixed point; a dead host is left out."""
    free = state.available_resources_per_node()
    return {node_id: _fixed(free[node_id]) for node_id in set(node_ids) if node_id in free}


def unique_names(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A name for each host, by node id: the one it was given, else its host name.

    Where that is the same for several, as with containers on one machine, the beginning of the id
    is added.
    """
    rows = list(rows)
    plain = {row["NodeID"]: _plain_name(row) for row in rows}
    often = collections.Counter(plain.values())
    return {
        node_id: name if often[name] == 1 else f"{name}#{node_id[:6]}"
        for node_id, name in plain.items()
    }


def _addresses(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The address of each host, by node id; none where all living hosts share one.

    Hosts that share an address are simulated ones, and what is said of addresses says nothing.
    """
    rows = list(rows)
    living = [row["NodeManagerAddress"] for row in rows if row["Alive"]]
    simulated = len(living) > 1 and len(set(living)) == 1
    return {row["NodeID"]: "" if simulated else str(row["NodeManagerAddress"]) for row in rows}


def _host(
    row: Mapping[str, Any], free: Mapping[str, float], alive: bool, name: str, address: str
) -> Host:
    return Host(
        node_id=row["NodeID"],
        name=name,
        total=_fixed(row["Resources"]),
        available=_fixed(free),
        labels=row.get("Labels") or {},
        alive=alive,
        address=address,
    )


def _plain_name(row: Mapping[str, Any]) -> str:
    given = row.get("NodeName")  # the address, if nobody gave a name
    if given and given != row["NodeManagerAddress"]:
        return str(given)
    return str(row["NodeManagerHostname"] or row["NodeManagerAddress"])


def _fixed(resources: Mapping[str, float]) -> dict[str, int]:
    return {
        name: reported(amount) for name, amount in resources.items() if not _GROUPED.search(name)
    }
