"""Hosts that lie together by the value of a label: a rack, an NVLink domain, a TPU slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from nodeinit.placement.hosts import Host
from nodeinit.placement.topology import Change, ClusterSnapshot

TPU_SLICE = "ray.io/tpu-slice-name"
"""The label in which Ray says to which TPU slice a host belongs."""

TPU_WORKER = "ray.io/tpu-worker-id"
"""The label with the place of a host within its TPU slice, from 0."""


@attrs.frozen
class _Domains:
    """How many living hosts each domain has, and what is free there, by the value of the label."""

    label: str
    resource: str
    hosts: dict[str, int]
    free: dict[str, int]

    def updated(self, changes: Sequence[Change]) -> _Domains:
        hosts, free = dict(self.hosts), dict(self.free)
        for old, new in changes:
            for host, sign in ((old, -1), (new, 1)):
                if host is not None and host.alive and self.label in host.labels:
                    value = host.labels[self.label]
                    hosts[value] = hosts.get(value, 0) + sign
                    free[value] = free.get(value, 0) + sign * host.free(self.resource)
        return _Domains(self.label, self.resource, hosts, free)


def domains(snapshot: ClusterSnapshot, label: str, resource: str) -> tuple[str, ...]:
    """The values of a label on living hosts, that with the least free of a resource first."""

    def make(hosts: Iterable[Host]) -> _Domains:
        return _Domains(label, resource, {}, {}).updated([(None, host) for host in hosts])

    found = snapshot.derived((label, resource), make)
    living = (value for value, count in found.hosts.items() if count)
    return tuple(sorted(living, key=lambda value: (found.free[value], value)))
