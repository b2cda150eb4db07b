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
    """What is free of a resource in each domain, by the value of the label."""

    label: str
    resource: str
    free: dict[str, int]

    def updated(self, changes: Sequence[Change]) -> _Domains:
        free = dict(self.free)
        for old, new in changes:
            for host, sign in ((old, -1), (new, 1)):
                if host is not None and host.alive and self.label in host.labels:
                    value = host.labels[self.label]
                    free[value] = free.get(value, 0) + sign * host.free(self.resource)
        return _Domains(self.label, self.resource, free)


def domains(snapshot: ClusterSnapshot, label: str, resource: str) -> tuple[str, ...]:
    """The values of a label on living hosts, that with the least free of a resource first."""

    def make(hosts: Iterable[Host]) -> _Domains:
        return _Domains(label, resource, {}).updated([(None, host) for host in hosts])

    free = snapshot.derived((label, resource), make).free
    return tuple(sorted(free, key=lambda value: (free[value], value)))
