"""Hosts by themselves: whether a bundle may be there at all."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.placement import labels
from nodeinit.placement.predicates.case import Case, Finding


def hosts_alive(case: Case) -> Iterator[Finding]:
    """Every host is in the snapshot and alive."""
    for i, node_id in enumerate(case.node_ids):
        if node_id is None:
            continue  # said by placement_complete
        host = case.hosts.get(node_id)
        if host is None:
            yield f"the host {node_id} of bundle {i} is not in the cluster", i, node_id
        elif not host.alive:
            yield f"the host {case.name(node_id)} of bundle {i} is dead", i, node_id


def model_present(case: Case) -> Iterator[Finding]:
    """Every host has the model, once it is known which of them have."""
    if case.model_on is None:
        return
    for node_id, indexes in case.by_host.items():
        if node_id not in case.model_on:
            yield f"{case.name(node_id)} does not have the model", indexes[0], node_id


def addresses_differ(case: Case) -> Iterator[Finding]:
    """No two hosts of one engine have the same address, as far as addresses are known."""
    for rank in case.request.ranks:
        by_address: dict[str, str] = {}
        for i in rank:
            host = case.hosts.get(case.node_id(i) or "")
            if host is None or not host.address:
                continue
            other = by_address.setdefault(host.address, host.node_id)
            if other != host.node_id:
                both = f"{case.name(other)} and {case.name(host.node_id)}"
                yield f"{both} have the same address {host.address}", i, host.node_id


def labels_match(case: Case) -> Iterator[Finding]:
    """Every host satisfies its bundles' label selectors."""
    for i, bundle in enumerate(case.request.bundles):
        host = case.hosts.get(case.node_id(i) or "")
        if host is not None and not labels.matches(bundle.labels, host.labels):
            want = labels.describe(bundle.labels)
            yield (
                f"{case.name(host.node_id)} does not have {want}, as bundle {i} asks",
                i,
                host.node_id,
            )


def accelerator_matches(case: Case) -> Iterator[Finding]:
    """Every host of a device bundle has the accelerator, by resource or by label."""
    kind = case.request.accelerator_type
    device = case.request.device
    if kind is None or device is None:
        return
    for i, bundle in enumerate(case.request.bundles):
        host = case.hosts.get(case.node_id(i) or "")
        if host is None or not bundle.resources.get(device):
            continue
        by_resource = host.total.get(f"accelerator_type:{kind}", 0) > 0
        if not by_resource and host.labels.get(labels.ACCELERATOR_TYPE) != kind:
            yield f"{case.name(host.node_id)} has no {kind}, as bundle {i} asks", i, host.node_id
