"""What to call hosts in the output: short, and one name for one host."""

from __future__ import annotations

from collections import Counter

from nodeinit.placement.topology import ClusterSnapshot


class HostNames:
    """Short names of the hosts of a cluster.

    The host's name where no other host has it (simulated ones share theirs), with the beginning of
    its `node_id`, by which Ray knows it.
    """

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        names = Counter(host.name for host in snapshot.hosts)
        self._names = {host.node_id: host.name for host in snapshot.hosts if names[host.name] == 1}

    def __getitem__(self, node_id: str) -> str:
        """The name of a host, also of one that came later."""
        short = node_id[:8]
        name = self._names.get(node_id)
        return f"{name} ({short})" if name else short
