"""How workers lie towards each other, before and after the engine has ranked them anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from nodeinit.placement.predicates.case import Case, Finding


def tp_groups_whole(case: Case) -> Iterator[Finding]:
    """Every tensor-parallel group is on one host, or equally on several if it may be."""
    for rank, group in enumerate(case.request.tp_groups):
        yield from _lies_well(case, group, f"tensor-parallel group {rank}")


def _lies_well(case: Case, group: Iterable[int], what: str) -> Iterator[Finding]:
    """Whether workers that compute together share one host, or equally few of several."""
    parts = Counter(case.node_id(i) for i in group)
    if len(parts) == 1:
        return
    shown = ", ".join(f"{case.name(host)}: {count}" for host, count in parts.items())
    first = next(iter(group))
    if len(parts) > 1 and not case.request.span_tp:
        yield f"{what} is split over {len(parts)} hosts ({shown})", first, None
    elif len(set(parts.values())) > 1:
        yield f"{what} lies unequally on its hosts ({shown})", first, None


def ranks_stay_whole(case: Case) -> Iterator[Finding]:
    """Groups lie as well when vLLM has ranked the workers anew, in either of its two orders.

    Every data-parallel rank has an executor of its own, which ranks its own workers.
    """
    workers = case.request.workers
    if any(case.node_id(i) not in case.hosts for i in workers):
        return  # said by placement_complete and hosts_alive
    of_rank = case.request.tensor_parallel_size * case.request.pipeline_parallel_size
    for number, (engine, _) in enumerate(case.request.engines):
        mine = workers[number * of_rank : (number + 1) * of_rank]
        for ranked in _rankings(case, mine, case.node_id(engine)):
            for start in range(0, of_rank, case.request.tensor_parallel_size):
                end = start + case.request.tensor_parallel_size
                what = f"the group of ranks {start} to {end - 1}"
                yield from _lies_well(case, ranked[start:end], what)


def _rankings(
    case: Case, workers: tuple[int, ...], engine: str | None
) -> Iterator[tuple[int, ...]]:
    """The two orders: by host with few workers and its address as text, or by node id."""
    count = Counter(case.node_id(i) for i in workers)

    def by_address(i: int) -> tuple[bool, int, str, str]:
        host = case.hosts[str(case.node_id(i))]
        address = host.address or host.name
        return host.node_id != engine, count[host.node_id], address, host.node_id

    def by_id(i: int) -> tuple[bool, str]:
        return case.node_id(i) != engine, str(case.node_id(i))

    yield tuple(sorted(workers, key=by_address))
    yield tuple(sorted(workers, key=by_id))


def engine_on_first_bundle(case: Case) -> Iterator[Finding]:
    """The worker of rank 0 is on the host of the first bundle."""
    yield from _with_its_engine(case, 0)


def engines_with_ranks(case: Case) -> Iterator[Finding]:
    """So it is for the engine of every further data-parallel rank."""
    for number in range(1, case.request.data_parallel_size):
        yield from _with_its_engine(case, number)


def _with_its_engine(case: Case, number: int) -> Iterator[Finding]:
    engine, first = case.request.engines[number]
    if case.node_id(first) != case.node_id(engine):
        where = f"{case.name(case.node_id(first))}, the engine on {case.name(case.node_id(engine))}"
        of = f" of data-parallel rank {number}" if case.request.data_parallel_size > 1 else ""
        yield f"the worker of rank 0{of} is on {where}", first, case.node_id(first)


def dp_ranks_whole(case: Case) -> Iterator[Finding]:
    """Without a pipeline, a data-parallel rank is on one host, control bundle and all."""
    request = case.request
    if request.data_parallel_size == 1 or request.pipeline_parallel_size > 1 or request.span_tp:
        return
    for number, rank in enumerate(request.ranks):
        mine = {i for i in rank if i in request.workers} | {request.engines[number][0]}
        hosts = {case.node_id(i) for i in mine}
        if len(hosts) > 1:
            shown = ", ".join(sorted(map(case.name, hosts)))
            yield f"data-parallel rank {number} is on {shown}", rank[0], None


def one_domain(case: Case) -> Iterator[Finding]:
    """All hosts have the same value of the topology label, if the request names one."""
    label = case.request.topology
    if label is None:
        return
    values: dict[str | None, str] = {}
    for node_id in case.by_host:
        value = case.hosts[node_id].labels.get(label)
        values.setdefault(None if value is None else str(value), node_id)
    if None in values:
        node_id = values[None]
        yield f"{case.name(node_id)} has no label {label}", None, node_id
    elif len(values) > 1:
        yield f"hosts of {len(values)} values of {label}: {', '.join(map(str, values))}", None, None


def slice_in_order(case: Case) -> Iterator[Finding]:
    """The hosts of a TPU slice are used in the slice's own order."""
    if case.request.topology != "ray.io/tpu-slice-name":
        return
    order = []
    for i in range(len(case.node_ids)):
        host = case.hosts.get(case.node_id(i) or "")
        number = host.labels.get("ray.io/tpu-worker-id", "") if host is not None else ""
        if not str(number).isdigit():
            return  # without numbers there is no order
        order.append(int(number))
    if order != sorted(order):
        yield f"the workers of the TPU slice are in the order {order}", None, None
