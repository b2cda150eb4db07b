"""What would have to change for a request to fit, each found by planning again.

A relaxation changes one thing about the request or the cluster. It is only ever named when a plan
exists with it, so what a person is told to try does work.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator

import attrs

from nodeinit.frozen import EMPTY
from nodeinit.placement import labels
from nodeinit.placement.demand import Demand, demand_of, spans
from nodeinit.placement.domains import TPU_SLICE
from nodeinit.placement.hosts import Bundle, Group, Host, names, total_of
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.shelves import Term, shelves_of
from nodeinit.placement.topology import ClusterSnapshot

_HINT = "accelerator_type:"

_MOST_GROUPS = 16
"""So many groups are thought away, each by itself; somebody has to end one of them after all."""


@attrs.frozen
class Alternative:
    """A request and a cluster that fit each other, and what `text` a person has to do for it."""

    text: str
    request: PlacementRequest
    snapshot: ClusterSnapshot


def alternatives(request: PlacementRequest, snapshot: ClusterSnapshot) -> tuple[Alternative, ...]:
    """The nearest relaxations that really fit, one of each sort: the easiest to do first."""
    gang, larger = _fewer_ranks(request, snapshot), _more_hosts(request, snapshot)
    if _outgrows(request, snapshot):
        return tuple(filter(_fits, (*gang, *larger)))
    sorts: tuple[Iterable[Alternative], ...] = (
        _smaller_groups(request, snapshot),
        _spanning(request, snapshot),
        _looser_strategy(request, snapshot),
        _looser_and_smaller(request, snapshot),
        _other_accelerators(request, snapshot),
        _any_labels(request, snapshot),
        _any_domain(request, snapshot),
        gang,
        _without_others(request, snapshot),
        larger,
    )
    firsts = (next(filter(_fits, candidates), None) for candidates in sorts)
    return tuple(found for found in firsts if found is not None)


def _outgrows(request: PlacementRequest, snapshot: ClusterSnapshot) -> bool:
    """Whether all living hosts together have less than is asked for: then little else helps."""
    name = request.device or "CPU"
    total: int = sum(host.total.get(name, 0) for host in snapshot.alive)
    return total_of(request.bundles, name) > total


def _fits(candidate: Alternative) -> bool:
    return find(candidate.request, candidate.snapshot).plan is not None


def _smaller_groups(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    """The same workers, in more and smaller tensor-parallel groups."""
    size = request.tensor_parallel_size
    if request.strategy.startswith("STRICT"):
        return
    for tp in range(size - 1, 0, -1):
        if size % tp == 0:
            pp = request.pipeline_parallel_size * (size // tp)
            changed = attrs.evolve(request, tensor_parallel_size=tp, pipeline_parallel_size=pp)
            text = f"with tensor_parallel_size={tp}, pipeline_parallel_size={pp}"
            yield Alternative(text, changed, snapshot)


def _spanning(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    if request.tensor_parallel_size > 1 and not (
        request.span_tp or request.strategy == "STRICT_PACK"
    ):
        text = "with span_tp=True (a tensor-parallel group on several hosts, which is slower)"
        yield Alternative(text, attrs.evolve(request, span_tp=True), snapshot)


def _looser_strategy(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    if request.strategy.startswith("STRICT_"):
        loose = request.strategy.removeprefix("STRICT_")
        yield Alternative(f"with strategy={loose}", attrs.evolve(request, strategy=loose), snapshot)


def _looser_and_smaller(
    request: PlacementRequest, snapshot: ClusterSnapshot
) -> Iterator[Alternative]:
    """Where one host is asked for, and no host has that much: on several, in smaller groups."""
    if request.strategy != "STRICT_PACK" or any(map(_fits, _looser_strategy(request, snapshot))):
        return
    for found in _smaller_groups(attrs.evolve(request, strategy="PACK"), snapshot):
        yield attrs.evolve(found, text=f"{found.text}, strategy=PACK")


def _other_accelerators(
    request: PlacementRequest, snapshot: ClusterSnapshot
) -> Iterator[Alternative]:
    wanted = request.accelerator_type
    if wanted is None:
        return
    for other in sorted(
        {kind for host in snapshot.alive for kind in accelerators(host)} - {wanted}
    ):
        bundles = tuple(_with_hint(bundle, wanted, other) for bundle in request.bundles)
        changed = attrs.evolve(request, bundles=bundles, accelerator_type=other)
        yield Alternative(f"with accelerator_type={other}", changed, snapshot)


def _with_hint(bundle: Bundle, old: str, new: str) -> Bundle:
    hint = bundle.resources.get(_HINT + old)
    if hint is None:
        return bundle
    return attrs.evolve(
        bundle, resources=bundle.resources.remove(_HINT + old).set(_HINT + new, hint)
    )


def _any_labels(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    if any(bundle.labels for bundle in request.bundles):
        bundles = tuple(attrs.evolve(bundle, labels=EMPTY) for bundle in request.bundles)
        yield Alternative("without labels", attrs.evolve(request, bundles=bundles), snapshot)


def _any_domain(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    # The chips of a TPU slice reach no other slice.
    if request.topology is not None and request.topology != TPU_SLICE:
        text = f"without topology={request.topology}"
        yield Alternative(text, attrs.evolve(request, topology=None), snapshot)


def _fewer_ranks(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    """A smaller gang, the largest that there is."""
    of_rank = len(request.bundles) // request.data_parallel_size

    def gang(dp: int) -> Alternative:
        bundles = request.bundles[: dp * of_rank]
        changed = attrs.evolve(request, data_parallel_size=dp, bundles=bundles)
        return Alternative(f"with data_parallel_size={dp}", changed, snapshot)

    most = bisect_left(
        range(1, request.data_parallel_size), True, key=lambda dp: not _fits(gang(dp))
    )
    if most:
        yield gang(most)


def _without_others(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    """The cluster without one of the groups on it, the smallest first; then without any load."""
    empty = Alternative("when its hosts are empty", request, snapshot.emptied())
    if not _fits(empty):
        return  # then no group is to blame
    units = {unit.bundles for unit in demand_of(request, spans(request)[-1]).units}
    least = min(total_of((request.bundles[i] for i in unit), "GPU") for unit in units)
    in_the_way = (g for g in snapshot.groups if _leaves_room(g, least, snapshot))
    for group in heapq.nsmallest(_MOST_GROUPS, in_the_way, key=_size_of):
        text = f"when group {group.name or group.group_id!r} is gone"
        yield Alternative(text, request, snapshot.without(group))
    yield empty


def _leaves_room(group: Group, gpus: int, snapshot: ClusterSnapshot) -> bool:
    """Whether a host would have so many GPUs (fixed point) free if a group went."""
    for node_id in {node_id for node_id in group.assigned if node_id is not None}:
        host = snapshot.host(node_id)
        if host is None or not host.alive:
            continue
        if host.free("GPU") + total_of(group.on(node_id), "GPU") >= gpus:
            return True
    return False


def _size_of(group: Group) -> tuple[int, int, str]:
    return group.gpu, len(group.bundles), group.group_id


def _more_hosts(request: PlacementRequest, snapshot: ClusterSnapshot) -> Iterator[Alternative]:
    """The cluster with the least number of further, empty hosts like the largest that would do."""
    demand = demand_of(request, spans(request)[0])
    model = _largest(snapshot, demand, request.device or "CPU", demand.units[0].terms)
    if model is None:
        return
    like = names(snapshot.hosts)[model.node_id]

    def grown(count: int) -> Alternative:
        empty = attrs.evolve(model, available=model.total, gpus=None, slices=(), address="")
        numbers = range(1, count + 1)
        twins = [attrs.evolve(empty, node_id=f"{model.node_id}+{i}") for i in numbers]
        hosts = snapshot.after(twins)
        text = f"with {count} more {'host' if count == 1 else 'hosts'} like {like}"
        return Alternative(text, request, hosts)

    # With a host for every unit nothing is left that a further one could give.
    counts = range(1, len(demand_of(request, spans(request)[-1]).units) + 1)
    if _fits(grown(counts[-1])):
        yield grown(counts[bisect_left(counts, True, key=lambda count: _fits(grown(count)))])


def _largest(
    snapshot: ClusterSnapshot, demand: Demand, device: str, terms: Iterable[Term]
) -> Host | None:
    """The host with these terms that has the most of the device, and then of all else."""
    shelves = shelves_of(snapshot.emptied(), demand.view(hopeful=False))
    column, mask = demand.columns.index(device), shelves.view.mask(terms)
    rooms = (
        (room, at) for at, (room, *_, admits) in enumerate(shelves.shelves) if admits & mask == mask
    )
    best = max(rooms, key=lambda found: (found[0][column], found[0]), default=None)
    return None if best is None else snapshot.host(shelves.node_ids[best[1]][0])


def accelerators(host: Host) -> set[str]:
    """The types of accelerator that a host has, by its resources and its label."""
    found = {name.removeprefix(_HINT) for name in host.total if name.startswith(_HINT)}
    label = host.labels.get(labels.ACCELERATOR_TYPE)
    return found | ({label} if label else set())
