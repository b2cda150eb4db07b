"""What the colours, letters and signs of a drawing stand for; only of what is there to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from nodeinit.diagram.plan.canvas import Box, Canvas
from nodeinit.diagram.plan.cells import UNKNOWN, Cells, Slot
from nodeinit.diagram.plan.style import hue
from nodeinit.diagram.plan.text import fitted
from nodeinit.diagram.plan.tiles import draw_mark
from nodeinit.diagram.plan.words import amounts, several
from nodeinit.diagram.sheets import SIZES
from nodeinit.placement.planned import Planned
from nodeinit.placement.replicas import Replica
from nodeinit.placement.topology import Bundle, Host, PlacementPlan

MOST = 24
"""So many replicas, and so many groups of others, are explained; more are only counted."""

_ROW, _SIGN, _WIDE = 36.0, 46.0, 340.0

Sign = Callable[[Canvas, Box], None]


@attrs.frozen
class Entry:
    """One sign, what it stands for, and more about that."""

    sign: Sign | None
    name: str
    note: str = ""


def entries(planned: Planned, cells: Cells, hosts: Iterable[Host]) -> list[Entry]:
    """What is explained, for these hosts that are drawn."""
    hosts = tuple(hosts)
    found = [_replica(place, *placed) for place, placed in enumerate(planned.placed[:MOST])]
    if len(planned.placed) > MOST:
        found.append(Entry(None, f"and {len(planned.placed) - MOST} more replicas"))
    drawn = (piece for h in hosts for cell in cells.devices(h) for piece in cell.pieces)
    others = {piece.label for piece in drawn if piece.slot is None}
    taken = [(label, name) for label, name in cells.group_names.items() if label in others]
    found += [
        Entry(_grey(label), name, "a group that is there already") for label, name in taken[:MOST]
    ]
    if len(taken) > MOST:
        found.append(Entry(None, f"and {len(taken) - MOST} more groups"))
    if UNKNOWN in others:
        found.append(Entry(_grey(UNKNOWN), "taken by others", "by no group that Ray knows"))
    return [*found, *_signs(planned, [slot for host in hosts for slot in cells.slots(host)])]


def _replica(place: int, letter: str, replica: Replica, plan: PlacementPlan) -> Entry:
    request = replica.request
    sizes = {
        "data": request.data_parallel_size,
        "pipeline": request.pipeline_parallel_size,
        "tensor": request.tensor_parallel_size,
    }
    shape = " × ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)
    each, kind = _each(plan.bundles), request.accelerator_type
    what = f"{each} on {kind}" if each and kind else each
    strategy = "" if plan.strategy == "PACK" else plan.strategy
    where = f"{several(len(plan.bundles), 'bundle')} on {several(len(plan.hosts), 'host')}"
    note = " · ".join(part for part in (shape, where, what, strategy) if part)
    return Entry(_letter(place, letter), replica.name, note)


def _each(bundles: Sequence[Bundle]) -> str:
    """What each bundle has, and the engine's more; nothing where they differ otherwise.

    What only hints at a kind of host (`accelerator_type:H100`) is no part of it.
    """
    first, others = bundles[0], set(bundles[1:])
    if not others:
        return amounts(_plain(first.resources))
    each = next(iter(others)).resources
    more = {name: value - each.get(name, 0) for name, value in first.resources.items()}
    if len(others) > 1 or min(more.values(), default=0) < 0 or not each.keys() <= more.keys():
        return ""
    extra = amounts(_plain({name: value for name, value in more.items() if value}))
    return f"{amounts(_plain(each))} each" + (f", {extra} for the engine" if extra else "")


def _plain(resources: Mapping[str, int]) -> Bundle:
    return Bundle({n: v for n, v in resources.items() if not n.startswith("accelerator_type:")})


def _signs(planned: Planned, slots: Sequence[Slot]) -> Iterable[Entry]:
    if not slots:
        return
    letter = slots[0].letter
    if any(slot.rank is not None for slot in slots):
        yield Entry(_words(f"{letter}0"), f"the worker of rank 0 of {letter}")
    staged = any(r.request.pipeline_parallel_size > 1 for _, r, _ in planned.placed)
    if staged:
        yield Entry(_words("p0"), "the first stage of a pipeline")
    if any(r.request.tensor_parallel_size > 1 for _, r, _ in planned.placed):
        yield Entry(_tray(slots[0].place), "a tensor-parallel group", "neighbours within one line")
    if any(slot.rank is None for slot in slots):
        yield Entry(_words(f"{letter}+0"), "a bundle, by its index,", "in which no worker runs")
    yield Entry(_engine(slots[0].place), "the bundle of the engine")


def height(found: Sequence[Entry], room: float) -> float:
    """The height of a legend that is as wide as the room."""
    return -(-len(found) // _columns(found, room)) * _ROW


def _columns(found: Sequence[Entry], room: float) -> int:
    return max(1, min(len(found), int(room // _WIDE)))


def draw(canvas: Canvas, found: Sequence[Entry], box: Box) -> None:
    """A legend in columns, read from top to bottom."""
    columns = _columns(found, box.w)
    rows = -(-len(found) // columns)
    wide = box.w / columns
    for i, entry in enumerate(found):
        column, row = divmod(i, rows)
        x, y = box.x + column * wide, box.y + row * _ROW
        with canvas.group("key", f"{entry.name}\n{entry.note}".strip()):
            if entry.sign is not None:
                entry.sign(canvas, Box(x, y + 3, _SIGN - 10, 22))
            room = wide - _SIGN - 12
            top = y + (2 if entry.note else 8)
            name = fitted(entry.name, SIZES["name"], room, bold=True)
            canvas.text(x + _SIGN, top, name, "name")
            if entry.note:
                canvas.text(x + _SIGN, y + 17, fitted(entry.note, SIZES["note"], room), "note mute")


def _letter(place: int, letter: str) -> Sign:
    return _filled(f"ours {hue(place)}", "fill", letter, "")


def _grey(label: str) -> Sign:
    return _filled("other", "taken", label, "taken-text")


def _filled(group: str, fill: str, text: str, kind: str) -> Sign:
    def draw_it(canvas: Canvas, box: Box) -> None:
        with canvas.group(f"sign {group}"):
            canvas.rect(box, fill, 3)
            _centred(canvas, box, text, kind)

    return draw_it


def _words(text: str) -> Sign:
    def draw_it(canvas: Canvas, box: Box) -> None:
        _centred(canvas, box, text, "")

    return draw_it


def _tray(place: int) -> Sign:
    def draw_it(canvas: Canvas, box: Box) -> None:
        with canvas.group(f"sign {hue(place)}"):
            canvas.rect(box, f"tray {hue(place)}-line", 5)

    return draw_it


def _engine(place: int) -> Sign:
    def draw_it(canvas: Canvas, box: Box) -> None:
        with canvas.group(f"sign {hue(place)}"):
            canvas.rect(box, "fill", 3)
            draw_mark(canvas, box)

    return draw_it


def _centred(canvas: Canvas, box: Box, text: str, kind: str) -> None:
    text = fitted(text, SIZES["rank"], box.w - 4, bold=True)
    canvas.text(box.x + box.w / 2, box.y + 5, text, f"rank {kind}".strip(), "middle")
