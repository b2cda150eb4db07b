"""A request as the search sees it: units of bundles, and rows of integers for what they need.

Bundles that must share a host are one *unit*. A row has one column for each resource.
"""

from __future__ import annotations

from collections import Counter

import attrs

from nodeinit.placement.hosts import Bundle
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.shelves import SEAT, Row, Term, View
from nodeinit.placement.stranding import SCARCE


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

    def view(self, *, hopeful: bool) -> View:
        """How the cluster is looked at; `hopeful`: single GPUs as they may be at best."""
        terms = tuple(sorted({t for unit in self.units for t in unit.terms}, key=Term.sort_key))
        taken = {i for unit in self.units for i, need in enumerate(unit.needs) if need}
        scarce = (name for i, name in enumerate(self.columns) if i in taken and name in SCARCE)
        return View(self.columns, terms, self.share, tuple(scarce), hopeful)


def spans(request: PlacementRequest) -> tuple[int, ...]:
    """On how many hosts a tensor-parallel group may lie, the best first."""
    size = request.tensor_parallel_size
    if request.strategy == "STRICT_SPREAD":
        return (size,)
    if not request.span_tp:
        return (1,)
    return tuple(parts for parts in range(1, size + 1) if size % parts == 0)


def demand_of(
    request: PlacementRequest,
    parts: int = 1,
    domain: tuple[str, str] | None = None,
    *,
    anyhow: bool = False,
) -> Demand:
    """The units of a request whose tensor-parallel groups are split into `parts` equal parts.

    `domain` is a label and its value that every host must have besides. `anyhow` lets parts lie
    together as they like, whether or not their groups are equal then: where even that does not
    fit, nothing does.
    """
    blocks, singles = _members(request, parts)
    # The engine ranks its workers anew, host by host. Two parts always make equal halves then; more
    # of them do only if no host has two.
    seated = {
        members
        for members in (*blocks, *singles)
        if request.strategy == "STRICT_SPREAD" or (parts > 2 and not anyhow and members in blocks)
    }
    kinds = set(request.bundles)
    named = {name for bundle in kinds for name in bundle.resources} - {"GPU", "CPU"}
    columns = ("GPU", "CPU", *sorted(named), *((SEAT,) if seated else ()))
    terms = {bundle: _term(request, bundle, domain) for bundle in kinds}
    rows = {bundle: _row(bundle, columns) for bundle in kinds}
    units = []
    for members in sorted((*blocks, *singles)):
        alike = Counter(request.bundles[i] for i in members)
        needs = [int(name == SEAT and members in seated) for name in columns]
        for bundle, count in alike.items():
            needs = [sum_ + count * need for sum_, need in zip(needs, rows[bundle], strict=True)]
        units.append(Unit(members, tuple(needs), frozenset(terms[bundle] for bundle in alike)))
    return Demand(columns, tuple(units), request.gpu_share)


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


def _row(bundle: Bundle, columns: tuple[str, ...]) -> Row:
    """What a bundle needs, by column."""
    return tuple(
        int(name in bundle.resources) if name == "GPU" else int(bundle.resources.get(name, 0))
        for name in columns
    )


def _term(request: PlacementRequest, bundle: Bundle, domain: tuple[str, str] | None) -> Term:
    on_device = request.device is not None and request.device in bundle.resources
    return Term(bundle.labels, request.accelerator_type if on_device else None, domain)
