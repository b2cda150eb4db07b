"""The devices of a host as cells: who has how much of how many.

Ray says how many GPUs are taken, not which ones, and chooses itself which one a bundle gets. So
cells are counts: what is taken by others first, then what is planned, then what is free.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from nodeinit.placement.planned import Planned, letters
from nodeinit.placement.replicas import Replica
from nodeinit.placement.topology import UNIT, Bundle, Host, PlacementPlan

FREE, UNKNOWN = "·", "×"

DEVICES = ("GPU", "TPU")
"""What may be a cell, in this order of preference."""

MOST = 512
"""A host with more devices than this has no cells: there is no such machine to draw."""


@attrs.frozen
class Slot:
    """One bundle of a plan, and what runs in it.

    `place` is the replica's among those that are drawn. `rank` is `None` where no worker runs;
    `stage` and `tp_group` are those of the worker.
    """

    place: int
    letter: str
    index: int
    bundle: Bundle
    rank: int | None = None
    stage: int | None = None
    tp_group: int | None = None
    engine: bool = False

    @property
    def label(self) -> str:
        """`A3` for the worker of rank 3, `A+3` for the bundle 3, in which none runs."""
        return f"{self.letter}+{self.index}" if self.rank is None else f"{self.letter}{self.rank}"

    def worker(self, number: int) -> str:
        """What to call the worker on one of its devices, counted from 0."""
        return self.label if self.rank is None else f"{self.letter}{self.rank + number}"


@attrs.frozen
class Piece:
    """A part of one device (fixed point): of a bundle that is planned, or of somebody else's."""

    share: int
    label: str
    slot: Slot | None = None

    @property
    def ours(self) -> bool:
        """Whether it is of what is planned."""
        return self.slot is not None


@attrs.define
class Cell:
    """One device: the pieces that it is cut into, and what is left of it."""

    pieces: list[Piece] = attrs.field(factory=list)
    left: int = UNIT

    @property
    def label(self) -> str:
        """The labels of its pieces, or the sign for a free one."""
        return "/".join(piece.label for piece in self.pieces) or FREE

    @property
    def ours(self) -> bool:
        """Whether anything of what is planned is on it."""
        return any(piece.ours for piece in self.pieces)


class Cells:
    """What is on each host, ours and others'. Groups of others get small letters."""

    def __init__(self, planned: Planned) -> None:
        self._others: dict[str, list[Piece]] = {}
        self._planned: dict[str, list[Slot]] = {}
        self.group_names: dict[str, str] = {}
        for group in planned.snapshot.groups:
            if any(group.assigned) and any(_share(bundle) for bundle in group.bundles):
                label = letters(len(self.group_names)).lower()
                self.group_names[label] = group.name or group.group_id
                for bundle, node_id in zip(group.bundles, group.assigned, strict=False):
                    if node_id is not None:
                        self._others.setdefault(node_id, []).extend(_cut(_share(bundle), label))
        for place, (letter, replica, plan) in enumerate(planned.placed):
            slots = _slots(place, letter, replica, plan)
            for slot, node_id in zip(slots, plan.node_ids, strict=True):
                self._planned.setdefault(node_id, []).append(slot)

    def slots(self, host: Host) -> tuple[Slot, ...]:
        """The planned bundles on a host, by replica and index."""
        return tuple(self._planned.get(host.node_id, ()))

    def used(self, host: Host) -> bool:
        """Whether anything of what is planned is on a host."""
        return host.node_id in self._planned

    def beside(self, host: Host) -> tuple[Slot, ...]:
        """The planned bundles on a host that have no device."""
        return tuple(slot for slot in self.slots(host) if not _share(slot.bundle))

    def devices(self, host: Host) -> tuple[Cell, ...]:
        """A cell for each device of a host; none of a host that has more than `MOST`."""
        total = count(host) * UNIT
        if not 0 < total <= MOST * UNIT:
            return ()
        others = self._others.get(host.node_id, [])
        taken = int(host.total.get(device(host), 0)) - host.free(device(host))
        unexplained = taken - sum(piece.share for piece in others)
        strangers = _cut(unexplained if host.alive else 0, UNKNOWN)
        cells = [Cell() for _ in range(total // UNIT)]
        # Whole ones first, so that what is cut stands together.
        for piece in sorted([*others, *strangers], key=lambda p: -p.share):
            _put(piece, cells)
        for slot in self.slots(host):
            for number, piece in enumerate(_cut(_share(slot.bundle), slot.label, slot)):
                _put(attrs.evolve(piece, label=slot.worker(number)), cells)
        return tuple(cells)

    def left(self, host: Host) -> int:
        """What will be free of a host's devices, fixed point, with all of the plan on it."""
        ours = sum(_share(slot.bundle) for slot in self.slots(host))
        return max(0, host.free(device(host)) - ours)


def device(host: Host) -> str:
    """The kind of device that a host is drawn with."""
    return next((name for name in DEVICES if host.total.get(name)), DEVICES[0])


def count(host: Host) -> int:
    """The number of a host's devices."""
    return math.ceil(int(host.total.get(device(host), 0)) / UNIT)


def _share(bundle: Bundle) -> int:
    """What a bundle takes of devices, fixed point."""
    return next((int(n) for n in map(bundle.resources.get, DEVICES) if n), 0)


def _slots(place: int, letter: str, replica: Replica, plan: PlacementPlan) -> Iterator[Slot]:
    """The bundles of a plan with the workers in them.

    Each data-parallel rank has an engine of its own, in the first of its bundles.
    """
    if replica.is_ingress:  # it only hands requests on: no worker is in it
        yield from (Slot(place, letter, i, bundle) for i, bundle in enumerate(plan.bundles))
        return
    request = replica.request
    # A bundle with several devices has several workers; it is called by the first of them.
    ranks = {index: rank for rank, index in reversed([*enumerate(request.workers)])}
    each = max(1, len(plan.bundles) // request.data_parallel_size)
    for index, bundle in enumerate(plan.bundles):
        rank = ranks.get(index)
        group = None if rank is None else rank // request.tensor_parallel_size
        stage = None if group is None else group % request.pipeline_parallel_size
        engine = index % each == 0
        yield Slot(place, letter, index, bundle, rank, stage, group, engine)


def _cut(amount: int, label: str, slot: Slot | None = None) -> Iterator[Piece]:
    """An amount as whole devices and a rest."""
    whole, rest = divmod(max(0, amount), UNIT)
    for share in (*(UNIT,) * min(whole, MOST), *((rest,) if rest else ())):
        yield Piece(share, label, slot)


def _put(piece: Piece, cells: list[Cell]) -> None:
    """Put a piece where the least remains; how much there is was checked by whoever reserved it."""
    fitting = [cell for cell in cells if cell.left >= piece.share]
    # What two pieces take of a GPU may not be what Ray did: then the emptiest has both.
    cell = min(fitting, key=lambda c: c.left) if fitting else max(cells, key=lambda c: c.left)
    cell.pieces.append(piece)
    cell.left = max(0, cell.left - piece.share)
