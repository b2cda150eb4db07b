"""A request and a cluster as the search sees them: rows of integers, one column for each resource.

Bundles that must share a host are one *unit*; hosts that are alike stand on one *shelf*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import attrs

from nodeinit.frozen import FrozenMap
from nodeinit.placement import gpus, labels
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host

Row: TypeAlias = tuple[int, ...]

SEAT = "seat"
"""A column that keeps units apart: every host has one seat."""


@attrs.frozen
class Term:
    """What a host must be, whatever is free on it."""

    labels: FrozenMap
    accelerator_type: str | None

    def sort_key(self) -> tuple[str, str]:
        """What orders terms."""
        return labels.describe(self.labels), self.accelerator_type or ""

    def admits(self, host: Host) -> bool:
        """Whether a host has the labels and the accelerator, by its resource or by its label."""
        return self.has_labels(host) and self.has_accelerator(host)

    def has_labels(self, host: Host) -> bool:
        """Whether a host has the labels."""
        return labels.matches(self.labels, host.labels)

    def has_accelerator(self, host: Host) -> bool:
        """Whether a host has the accelerator."""
        kind = self.accelerator_type
        return (
            kind is None
            or f"accelerator_type:{kind}" in host.total
            or host.labels.get(labels.ACCELERATOR_TYPE) == kind
        )


@attrs.frozen
class Unit:
    """Bundles (by index) that must share one host, and what they need of it together."""

    bundles: tuple[int, ...]
    needs: Row
    terms: frozenset[Term]


@attrs.frozen
class Demand:
    """All units of a request. Needs of `GPU` are counted in bundles: `share` of one GPU each."""

    columns: tuple[str, ...]
    units: tuple[Unit, ...]
    share: int


@attrs.frozen
class Shelf:
    """Hosts that cannot be told apart: the same room, fit for the same terms."""

    room: Row
    admits: frozenset[Term]
    untouched: bool
    node_ids: tuple[str, ...]


def spans(request: PlacementRequest) -> tuple[int, ...]:
    """On how many hosts a tensor-parallel group may lie, the best first."""
    size = request.tensor_parallel_size
    if request.strategy == "STRICT_SPREAD":
        return (size,)
    if not request.span_tp:
        return (1,)
    return tuple(parts for parts in range(1, size + 1) if size % parts == 0)


def demand_of(request: PlacementRequest, parts: int = 1) -> Demand:
    """The units of a request whose tensor-parallel groups are split into `parts` equal parts."""
    blocks, singles = _members(request, parts)
    # The engine ranks its workers anew, host by host. Two parts always make equal halves then; more
    # of them do only if no host has two.
    seated = {
        members
        for members in (*blocks, *singles)
        if request.strategy == "STRICT_SPREAD" or (parts > 2 and members in blocks)
    }
    named = {name for bundle in set(request.bundles) for name in bundle.resources} - {"GPU", "CPU"}
    columns = ("GPU", "CPU", *sorted(named), *((SEAT,) if seated else ()))
    device = request.device
    terms = {bundle: _term(request, bundle, device) for bundle in set(request.bundles)}
    units = tuple(
        Unit(
            members,
            _needs([request.bundles[i] for i in members], columns, members in seated),
            frozenset(terms[request.bundles[i]] for i in members),
        )
        for members in sorted((*blocks, *singles))
    )
    return Demand(columns, units, request.gpu_share)


def _members(
    request: PlacementRequest, parts: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The bundles of each part of a tensor-parallel group, and the bundles of no worker."""
    if request.strategy == "STRICT_PACK":
        return [tuple(range(len(request.bundles)))], []
    size = request.tensor_parallel_size // parts
    workers = request.workers
    blocks = [workers[i : i + size] for i in range(0, len(workers), size)]
    taken = set(workers)
    singles: list[tuple[int, ...]] = [(i,) for i in range(len(request.bundles)) if i not in taken]
    if (0,) in singles:
        # The engine's own bundle: the worker of rank 0 must be on its host.
        singles.remove((0,))
        blocks[0] = (0, *blocks[0])
    return blocks, singles


def _needs(bundles: Iterable[Bundle], columns: tuple[str, ...], seated: bool) -> Row:
    needs = dict.fromkeys(columns, 0)
    for bundle in bundles:
        for name, value in bundle.resources.items():
            needs[name] += 1 if name == "GPU" else value
    if seated:
        needs[SEAT] = 1
    return tuple(needs.values())


def _term(request: PlacementRequest, bundle: Bundle, device: str | None) -> Term:
    on_device = device is not None and device in bundle.resources
    return Term(bundle.labels, request.accelerator_type if on_device else None)


Reading: TypeAlias = Callable[[Host], int]
"""How many bundles with a share of a GPU fit a host."""


def readings(demand: Demand, snapshot: ClusterSnapshot) -> tuple[Reading, ...]:
    """How the free GPUs of hosts may be counted, the safest first."""
    slices = gpus.slices_by_host(snapshot.groups)

    def safe(host: Host) -> int:
        return gpus.slots(gpus.certain(host, slices), demand.share)

    def hopeful(host: Host) -> int:
        return max(safe(host), gpus.slots(gpus.possible(host), demand.share))

    def whole(host: Host) -> int:
        return gpus.slots(host.gpus, UNIT) if host.gpus else max(0, host.free("GPU")) // UNIT

    fractional = demand.share != UNIT or slices
    return (safe, hopeful) if fractional else (whole,)


def shelve(demand: Demand, snapshot: ClusterSnapshot, reading: Reading) -> tuple[Shelf, ...]:
    """The living hosts that could take any unit at all, alike ones together, in order of id."""
    terms = frozenset(term for unit in demand.units for term in unit.terms)
    shelves: dict[tuple[Row, frozenset[Term], bool], list[str]] = {}
    for host in snapshot.alive:
        admits = frozenset(term for term in terms if term.admits(host))
        if admits:
            key = (room(host, demand.columns, reading), admits, _untouched(host, demand.columns))
            shelves.setdefault(key, []).append(host.node_id)
    return tuple(Shelf(*key, tuple(node_ids)) for key, node_ids in shelves.items())


def room(host: Host, columns: Iterable[str], reading: Reading) -> Row:
    """What is free on a host, by column."""

    def free(column: str) -> int:
        if column == "GPU":
            return reading(host)
        # Ray lets the free CPU fall below nothing while tasks wait for each other.
        return 1 if column == SEAT else max(0, host.free(column))

    return tuple(free(column) for column in columns)


def _untouched(host: Host, columns: Iterable[str]) -> bool:
    return all(host.free(name) == host.total.get(name, 0) for name in columns if name != SEAT)
