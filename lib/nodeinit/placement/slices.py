"""The hosts of a TPU slice in the slice's own order, one bundle on each."""

from __future__ import annotations

from nodeinit.placement.domains import TPU_WORKER
from nodeinit.placement.hosts import Bundle, Host
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.shelves import Term
from nodeinit.placement.topology import ClusterSnapshot


def in_slice(
    request: PlacementRequest, snapshot: ClusterSnapshot, domain: tuple[str, str]
) -> tuple[str, ...] | None:
    """A host of the slice for each bundle, in the order of their worker ids; `None`: no such way.

    The engine takes its workers for neighbours as they come, and the slice has them in the order of
    its worker ids (ray#64578).
    """
    hosts = iter(sorted(_of_slice(snapshot, domain), key=_place))
    node_ids = []
    # Whatever host a bundle takes, the earliest leaves the most to those that follow.
    for bundle in request.bundles:
        found = next((host for host in hosts if _fits(bundle, host, request)), None)
        if found is None:
            return None
        node_ids.append(found.node_id)
    return tuple(node_ids)


def in_order(node_ids: tuple[str, ...], snapshot: ClusterSnapshot) -> bool:
    """Whether hosts stand in the order of their worker ids."""
    hosts = [snapshot.host(node_id) for node_id in node_ids]
    places = [_place(host)[0] for host in hosts if host is not None]
    return places == sorted(places)


def _of_slice(snapshot: ClusterSnapshot, domain: tuple[str, str]) -> list[Host]:
    label, value = domain
    return [host for host in snapshot.alive if host.labels.get(label) == value]


def _place(host: Host) -> tuple[int, str]:
    number = str(host.labels.get(TPU_WORKER, ""))
    return int(number) if number.isdigit() else 0, host.node_id


def _fits(bundle: Bundle, host: Host, request: PlacementRequest) -> bool:
    kind = request.accelerator_type if "TPU" in bundle.resources else None
    enough = all(host.free(name) >= value for name, value in bundle.resources.items())
    return enough and Term(bundle.labels, kind).admits(host)
