"""What bundles take of their hosts, and what is there to take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from nodeinit.placement.amounts import UNIT, amount
from nodeinit.placement.hosts import Bundle, total_of
from nodeinit.placement.predicates.case import Case, Finding


def gpus_not_oversubscribed(case: Case) -> Iterator[Finding]:
    """Single GPUs can serve the bundles of each host: their sum proves nothing."""
    for node_id, indexes in case.by_host.items():
        wanted = [case.bundles[i].gpu for i in indexes if case.bundles[i].gpu > 0]
        single, in_all = _free_gpus(node_id, case)
        if wanted and (sum(wanted) > in_all or not _allot(single, wanted)):
            asked = f"{len(wanted)} bundles with {amount(sum(wanted))} GPUs in all"
            found = f"{case.name(node_id)} has {amount(in_all)} GPUs for them"
            yield f"{found}, not enough for {asked}", indexes[0], node_id


def _free_gpus(node_id: str, case: Case) -> tuple[list[int], int]:
    """What is free of single GPUs for the bundles that are judged, and in all; at best.

    A placement holds its share already: it may be on any GPU that no other group holds whole.
    """
    host = case.hosts[node_id]
    count = int(host.total.get("GPU", 0)) // UNIT
    if case.placement is not None:
        mine = case.by_host[node_id]
        others = [bundle.gpu for bundle in _held_on(node_id, case)][len(mine) :]
        left = count - sum(share == UNIT for share in others)
        return [UNIT] * left, left * UNIT
    if host.gpus is not None and host.alive:
        return [*host.gpus], host.free("GPU")
    in_all = max(0, host.free("GPU"))
    return [UNIT] * (count if host.uncertain else in_all // UNIT), in_all


def _allot(free: Iterable[int], wanted: Iterable[int]) -> bool:
    """Whether single GPUs can serve demands in order, each where least is left, as Ray does it."""
    left = sorted(free)
    for need in wanted:
        at = next((i for i, have in enumerate(left) if have >= need), None)
        if at is None:
            return False
        left[at] -= need
        left.sort()
    return True


def gpu_ids_distinct(case: Case) -> Iterator[Finding]:
    """Where bundles were asked for their GPUs: each has one, and no GPU is given away twice."""
    if case.placement is None:
        return
    given: Counter[tuple[str, str]] = Counter()
    for bundle in case.placement.bundles:
        if bundle.gpu_ids is None:
            continue
        share = case.bundles[bundle.index].gpu if bundle.index < len(case.bundles) else 0
        if len(bundle.gpu_ids) != (share > 0):
            seen = ", ".join(bundle.gpu_ids) or "none"
            asks = f"it asks for {amount(share)}"
            yield (
                f"bundle {bundle.index} sees the GPUs {seen}; {asks}",
                bundle.index,
                bundle.node_id,
            )
        for gpu in bundle.gpu_ids:
            given[bundle.node_id, gpu] += share
    for (node_id, gpu), share in sorted(given.items()):
        if share > UNIT:
            message = f"GPU {gpu} of {case.name(node_id)} is given away {amount(share)} times"
            yield message, None, node_id


def other_resources_fit(case: Case) -> Iterator[Finding]:
    """Everything but GPUs fits into what is free, or for a placement into the host."""
    for node_id, indexes in case.by_host.items():
        host = case.hosts[node_id]
        mine = [case.bundles[i] for i in indexes]
        for name in sorted({name for bundle in mine for name in bundle.resources} - {"GPU"}):
            need = total_of(mine, name)
            room = int(host.total.get(name, 0)) if case.placement else host.free(name)
            if need > room:
                message = (
                    f"{case.name(node_id)} has {amount(room)} {name}, {amount(need)} are needed"
                )
                yield message, indexes[0], node_id


def groups_fit_hosts(case: Case) -> Iterator[Finding]:
    """A placement and the other groups together hold no more than the hosts have."""
    if case.placement is None:
        return
    for node_id in case.by_host:
        host, held = case.hosts[node_id], Counter[str]()
        for bundle in _held_on(node_id, case):
            held.update({name: int(value) for name, value in bundle.resources.items()})
        for name, value in sorted(held.items()):
            total = int(host.total.get(name, 0))
            if value > total:
                message = (
                    f"groups on {case.name(node_id)} hold {amount(value)} {name} of {amount(total)}"
                )
                yield message, None, node_id


def _held_on(node_id: str, case: Case) -> Iterator[Bundle]:
    """The bundles of the placement, and of every other group, on one host."""
    assert case.placement is not None
    yield from (case.bundles[i] for i in case.by_host[node_id])
    for group in case.snapshot.groups:
        if group.group_id != case.placement.group_id:
            for bundle, at in zip(group.bundles, group.assigned, strict=False):
                if at == node_id:
                    yield bundle
