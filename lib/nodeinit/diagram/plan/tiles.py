"""The smallest parts of a drawing: a device as a cell, and a bundle without one as a pill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.cells import Cell, Piece, Slot
from nodeinit.diagram.plan.style import hue
from nodeinit.diagram.plan.text import fitted, width
from nodeinit.diagram.plan.tips import Tips
from nodeinit.diagram.sheets import SIZES
from nodeinit.placement.topology import UNIT, Host

MOST_PILLS = 24
"""More bundles without a device than this, on one host, are drawn together."""

PILL, PILL_GAP = 18.0, 5.0
_LEAST_LABEL = 10.0  # pixels; a lower piece of a cell says what it is only to a pointer


def draw_tray(canvas: Canvas, around: Box, slot: Slot) -> None:
    """The line around the neighbours of one tensor-parallel group."""
    canvas.rect(around.inside(-2.5), f"tray {hue(slot.place)}-line", 5)


def tray_of(cell: Cell) -> Slot | None:
    """The worker whose tensor-parallel group a cell belongs to, where it has one to itself."""
    slot = cell.pieces[0].slot if len(cell.pieces) == 1 else None
    return slot if slot is not None and slot.tp_group is not None else None


def draw_cell(canvas: Canvas, box: Box, cell: Cell, host: Host, tips: Tips) -> None:
    """A device; what it is cut into lies in it from top to bottom."""
    with canvas.group("cell", "" if cell.pieces else tips.nothing(host)):
        canvas.rect(box, "free", 3)
        # Where a cluster claims more than one device of one, all of it is drawn, only lower.
        whole = max(UNIT, sum(piece.share for piece in cell.pieces))
        y = box.y
        for piece in cell.pieces:
            part = Box(box.x, y, box.w, box.h * piece.share / whole)
            _draw_piece(canvas, part, piece, host, tips)
            y = part.bottom


def _draw_piece(canvas: Canvas, box: Box, piece: Piece, host: Host, tips: Tips) -> None:
    slot = piece.slot
    if slot is None:
        with canvas.group("other", tips.other(piece, host)):
            canvas.rect(box, "taken", 3)
            _label(canvas, box, piece.label, "", "taken-text")
        return
    request = tips.planned.placed[slot.place][1].request
    staged = slot.stage is not None and request.pipeline_parallel_size > 1
    with canvas.group(f"ours {hue(slot.place)}", tips.slot(slot, host), bundle=ids([slot])):
        canvas.rect(box, "fill", 3)
        if slot.engine:
            draw_mark(canvas, box)
        _label(canvas, box, piece.label, f"p{slot.stage}" if staged else "", "")


def draw_mark(canvas: Canvas, box: Box) -> None:
    """The corner that marks the engine's bundle."""
    side = min(9.0, 0.6 * box.h)
    corner = f"M{number(box.x)} {number(box.y)}h{number(side)}l{number(-side)} {number(side)}z"
    canvas.path(corner, "mark")


def _label(canvas: Canvas, box: Box, label: str, below: str, kind: str) -> None:
    """A label in the middle of a box, with another line below where there is room for it."""
    if box.h < _LEAST_LABEL:
        return
    size = SIZES["rank"] if box.h > 15 else SIZES["tiny"]
    name = "rank" if box.h > 15 else "tiny"
    middle = box.x + box.w / 2
    text = fitted(label, size, box.w - 2, bold=name == "rank")
    both = below and box.h >= 28
    top = box.y + (box.h - size - (SIZES["tiny"] + 1 if both else 0)) / 2
    canvas.text(middle, top, text, f"{name} {kind}".strip(), "middle")
    if both:
        canvas.text(middle, top + size + 1, below, "tiny", "middle")


@attrs.frozen
class Pill:
    """Bundles of one replica without a device, and where they are drawn."""

    slots: tuple[Slot, ...]
    text: str
    box: Box


def pills(slots: Sequence[Slot], left: float, top: float, room: float) -> list[Pill]:
    """Pills for bundles, in rows as wide as the room."""
    found: list[Pill] = []
    x, y = left, top
    for members in _together(slots):
        first, last = members[0].label, members[-1].label
        text = first if len(members) == 1 else f"{first} … {last}"
        if len({slot.place for slot in members}) > 1:
            text = f"{len(members)} more"
        text = fitted(text, SIZES["note"], room - 16)
        wide = width(text, SIZES["note"]) + 16
        if x > left and x + wide > left + room:
            x, y = left, y + PILL + PILL_GAP
        found.append(Pill(members, text, Box(x, y, wide, PILL)))
        x += wide + PILL_GAP
    return found


def _together(slots: Sequence[Slot]) -> Iterator[tuple[Slot, ...]]:
    """Each bundle by itself; of too many, those of each replica; and what is too many even so."""
    if len(slots) <= MOST_PILLS:
        yield from ((slot,) for slot in slots)
        return
    by_replica: dict[int, list[Slot]] = {}
    for slot in slots:
        by_replica.setdefault(slot.place, []).append(slot)
    groups = [tuple(members) for members in by_replica.values()]
    yield from groups[:MOST_PILLS]
    rest = tuple(slot for members in groups[MOST_PILLS:] for slot in members)
    if rest:
        yield rest


def draw_pill(canvas: Canvas, pill: Pill, host: Host, tips: Tips) -> None:
    """A bundle that has no device, or several of them."""
    first = pill.slots[0]
    kind = f"pill {hue(first.place)}"
    with canvas.group(kind, tips.slots(pill.slots, host), bundle=ids(pill.slots)):
        canvas.rect(pill.box, "fill", PILL / 2)
        if any(slot.engine for slot in pill.slots):
            x, y = pill.box.x + 7, pill.box.y + PILL / 2
            canvas.path(f"M{number(x - 3)} {number(y - 3)}h6l-6 6z", "mark")
            canvas.text(pill.box.x + 12, pill.box.y + 3, pill.text, "note")
        else:
            middle = pill.box.x + pill.box.w / 2
            canvas.text(middle, pill.box.y + 3, pill.text, "note", "middle")


def ids(slots: Sequence[Slot]) -> str:
    """Which bundles of which replicas these are: `A:0 A:1`, for whoever reads the drawing."""
    return " ".join(f"{slot.letter}:{slot.index}" for slot in slots)
