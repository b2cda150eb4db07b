"""The GPUs of a host as cells: who has how much of how many.

Ray says how many GPUs are taken, not which ones, and chooses itself which one a bundle gets. So
cells are counts: what is taken by others first, then what is planned, then what is free.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from nodeinit.cli.planned import Planned, letters
from nodeinit.placement.topology import UNIT, Host

FREE, UNKNOWN = "·", "×"


@attrs.frozen
class Piece:
    """A part of one GPU (fixed point), or, if it is 0, a bundle beside the GPUs."""

    share: int
    label: str
    ours: bool


@attrs.define
class Cell:
    """One GPU: the pieces that it is cut into, and what is left of it."""

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
        self._planned: dict[str, list[Piece]] = {}
        self.group_names: dict[str, str] = {}
        for group in planned.snapshot.groups:
            if any(group.assigned) and any(bundle.gpu for bundle in group.bundles):
                label = letters(len(self.group_names)).lower()
                self.group_names[label] = group.name or group.group_id
                for bundle, node_id in zip(group.bundles, group.assigned, strict=False):
                    if node_id is not None:
                        self._others.setdefault(node_id, []).extend(_cut(bundle.gpu, label))
        for letter, replica, plan in planned.placed:
            ranks = {index: rank for rank, index in enumerate(replica.request.workers)}
            for index, (bundle, node_id) in enumerate(
                zip(plan.bundles, plan.node_ids, strict=True)
            ):
                label = f"{letter}{ranks[index]}" if index in ranks else f"{letter}+{index}"
                self._planned.setdefault(node_id, []).append(Piece(bundle.gpu, label, ours=True))

    def used(self, host: Host) -> bool:
        """Whether anything of what is planned is on a host."""
        return host.node_id in self._planned

    def beside(self, host: Host) -> tuple[str, ...]:
        """The labels of the planned bundles on a host that have no GPU."""
        planned = self._planned.get(host.node_id, ())
        return tuple(piece.label for piece in planned if not piece.share)

    def gpus(self, host: Host) -> tuple[Cell, ...]:
        """A cell for each GPU of a host."""
        others = self._others.get(host.node_id, [])
        total = int(host.total.get("GPU", 0))
        unexplained = total - host.free("GPU") - sum(piece.share for piece in others)
        strangers = _cut(unexplained if host.alive else 0, UNKNOWN)
        planned = (piece for piece in self._planned.get(host.node_id, ()) if piece.share)
        cells = [Cell() for _ in range(-(-total // UNIT))]
        # Whole ones first, so that what is cut stands together.
        for piece in (*sorted([*others, *strangers], key=lambda p: -p.share), *planned):
            _put(piece, cells)
        return tuple(cells)


def _cut(amount: int, label: str) -> Iterator[Piece]:
    """An amount as whole GPUs and a rest."""
    whole, rest = divmod(max(0, amount), UNIT)
    for share in (*(UNIT,) * whole, *((rest,) if rest else ())):
        yield Piece(share, label, ours=False)


def _put(piece: Piece, cells: list[Cell]) -> None:
    """Put a piece where the least remains; how much there is was checked by whoever reserved it."""
    if not cells:  # somebody's group claims GPUs of a host that has none
        return
    fitting = [cell for cell in cells if cell.left >= piece.share]
    # What two pieces take of a GPU may not be what Ray did: then the emptiest has both.
    cell = min(fitting, key=lambda c: c.left) if fitting else max(cells, key=lambda c: c.left)
    cell.pieces.append(piece)
    cell.left = max(0, cell.left - piece.share)
