"""Whether a request fits a cluster, by trying everything: slow, short, and nobody else's code."""

from __future__ import annotations

from collections import Counter

from nodeinit.placement import gpus
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import ClusterSnapshot, Host


def feasible(request: PlacementRequest, snapshot: ClusterSnapshot) -> bool:
    """Whether some way exists to put every tensor-parallel group whole on a living host."""
    return next(_ways(request, snapshot), None) is not None


def fewest_hosts(request: PlacementRequest, snapshot: ClusterSnapshot) -> int:
    """The least number of hosts that any way needs."""
    return min(len(set(way)) for way in _ways(request, snapshot))


def _blocks(request: PlacementRequest) -> list[tuple[int, ...]]:
    """Bundles that must share a host."""
    if request.strategy == "STRICT_PACK":
        return [tuple(range(len(request.bundles)))]
    blocks = [set(group) for group in request.tp_groups]
    inside = set().union(*blocks)
    rank = len(request.bundles) // request.data_parallel_size
    for number in range(request.data_parallel_size):
        engine = number * rank
        if engine not in inside:
            # With the first group of its data-parallel rank.
            blocks[number * request.pipeline_parallel_size].add(engine)
            inside.add(engine)
    rest = [{i} for i in range(len(request.bundles)) if i not in inside]
    return [tuple(sorted(block)) for block in (*blocks, *rest)]


def _ways(request, snapshot):
    """Every way: the host of each block."""
    blocks = _blocks(request)
    alive = [host for host in snapshot.hosts if host.alive]
    zone_of = {host.node_id: host.labels.get(request.topology or "") for host in alive}

    def go(chosen):
        if len(chosen) == len(blocks):
            yield chosen
            return
        block = blocks[len(chosen)]
        for host in alive:
            if request.strategy == "STRICT_SPREAD" and host.node_id in chosen:
                continue
            if request.topology is not None:
                value = host.labels.get(request.topology)
                if value is None or (chosen and value != zone_of[chosen[0]]):
                    continue
            if not all(_suits(request, i, host) for i in block):
                continue
            here = [b for b, at in zip(blocks, chosen, strict=False) if at == host.node_id]
            if _fits(request, [i for b in (*here, block) for i in b], host):
                yield from go((*chosen, host.node_id))

    yield from go(())


def _suits(request: PlacementRequest, i: int, host: Host) -> bool:
    bundle, kind = request.bundles[i], request.accelerator_type
    for key, condition in bundle.labels.items():
        value = host.labels.get(key)
        if condition.startswith("!"):
            if value == condition[1:]:
                return False
        elif value != condition:
            return False
    return not (kind and bundle.gpu) or f"accelerator_type:{kind}" in host.total


def _fits(request: PlacementRequest, indexes: list[int], host: Host) -> bool:
    need: Counter[str] = Counter()
    for i in indexes:
        need.update({k: int(v) for k, v in request.bundles[i].resources.items()})
    count = sum(1 for i in indexes if request.bundles[i].gpu)
    del need["GPU"]
    if any(value > host.available.get(name, 0) for name, value in need.items()):
        return False
    share = request.gpu_share
    return count <= gpus.possible(host, share)
