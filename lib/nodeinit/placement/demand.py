"""A request as the search sees it: units of bundles, and rows of integers for what they need.

Bundles that must share a host are one *unit*. A row has one column for each resource.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from nodeinit.placement.hosts import Bundle
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.shelves import SEAT, Row, Term, View
from nodeinit.placement.topology import ClusterSnapshot


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

    def views(self, snapshot: ClusterSnapshot) -> tuple[View, ...]:
        """How the cluster may be looked at, the safest way first."""
        terms = tuple(sorted({t for unit in self.units for t in unit.terms}, key=Term.sort_key))
        certain = View(self.columns, terms, self.share)
        if not snapshot.uncertain:
            return (certain,)
        return (certain, attrs.evolve(certain, hopeful=True))


def spans(request: PlacementRequest) -> tuple[int, ...]:
    """On how many hosts a tensor-parallel group may lie, the best first."""
    size = request.tensor_parallel_size
    if request.strategy == "STRICT_SPREAD":
        return (size,)
    if not request.span_tp:
        return (1,)
    return tuple(parts for parts in range(1, size + 1) if size % parts == 0)


def demand_of(
    request: PlacementRequest, parts: int = 1, domain: tuple[str, str] | None = None
) -> Demand:
    """The units of a request whose tensor-parallel groups are split into `parts` equal parts.

    `domain` is a label and its value that every host must have besides.
    """
    blocks, singles = _members(request, parts)
    # The engine ranks its workers anew, host by host. Two parts always make equal halves then; more
    # of them do only if no host has two.
    seated = {
        members
        for members in (*blocks, *singles)
        if request.strategy == "STRICT_SPREAD" or (parts > 2 and members in blocks)
    }
    kinds = set(request.bundles)
    named = {name for bundle in kinds for name in bundle.resources} - {"GPU", "CPU"}
    cpu = ("CPU",) if any("CPU" in bundle.resources for bundle in kinds) else ()
    columns = ("GPU", *cpu, *sorted(named), *((SEAT,) if seated else ()))
    terms = {bundle: _term(request, bundle, domain) for bundle in kinds}
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
    blocks: list[tuple[int, ...]] = []
    for start in range(0, len(workers), size):
        block = tuple(dict.fromkeys(workers[start : start + size]))
        # A bundle with several devices may hold the end of one group and the next one.
        if blocks and blocks[-1][-1] == block[0]:
            block = tuple(dict.fromkeys((*blocks.pop(), *block)))
        blocks.append(block)
    taken = set(workers)
    singles: list[tuple[int, ...]] = [(i,) for i in range(len(request.bundles)) if i not in taken]
    for engine, first in request.engines:
        if (engine,) in singles:
            # The engine's own bundle: its worker of rank 0 must be on its host.
            singles.remove((engine,))
            at = next(i for i, block in enumerate(blocks) if first in block)
            blocks[at] = (engine, *blocks[at])
    return blocks, singles


def _needs(bundles: Iterable[Bundle], columns: tuple[str, ...], seated: bool) -> Row:
    needs = dict.fromkeys(columns, 0)
    for bundle in bundles:
        for name, value in bundle.resources.items():
            needs[name] += 1 if name == "GPU" else value
    if seated:
        needs[SEAT] = 1
    return tuple(needs.values())


def _term(request: PlacementRequest, bundle: Bundle, domain: tuple[str, str] | None) -> Term:
    on_device = request.device is not None and request.device in bundle.resources
    return Term(bundle.labels, request.accelerator_type if on_device else None, domain)


