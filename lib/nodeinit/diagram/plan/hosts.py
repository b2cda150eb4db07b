"""One host as a box with a cell for each of its devices, or, of very many, as a small one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.cells import Cell, Cells, count
from nodeinit.diagram.plan.style import hue
from nodeinit.diagram.plan.text import fitted, width
from nodeinit.diagram.plan.tiles import (
    Pill,
    draw_cell,
    draw_pill,
    draw_tray,
    ids,
    pills,
    tray_of,
)
from nodeinit.diagram.plan.tips import Tips
from nodeinit.diagram.sheets import SIZES
from nodeinit.placement.topology import Host

IN_A_ROW = 8
"""Cells of a row: as many as most machines have."""

_PAD, _GAP, _CELL, _HEAD = 10.0, 8.0, 36.0, 32.0
_TINY, _TINY_GAP, _TINY_ROW, _MOST_TINY = 6.0, 1.0, 8, 64


@attrs.frozen
class Hosts:
    """Draws the hosts of one cluster: all boxes are of one width, and all cells."""

    tips: Tips
    cells: Cells
    cell: float
    width: float

    @classmethod
    def of(cls, tips: Tips, cells: Cells, full: Sequence[Host]) -> Hosts:
        """A drawer in whose cells the labels of these hosts have room."""
        drawn = (piece.label for h in full for cell in cells.devices(h) for piece in cell.pieces)
        labels = {*drawn, *(slot.label for host in full for slot in cells.slots(host))}
        widest = max((width(label, SIZES["rank"], bold=True) for label in labels), default=0)
        cell = min(72.0, max(34.0, round(widest) + 6))
        columns = max((min(IN_A_ROW, count(host)) for host in full), default=0)
        return cls(tips, cells, cell, max(180.0, columns * (cell + _GAP) - _GAP + 2 * _PAD))

    def height(self, host: Host) -> float:
        """The height of a host's box."""
        body = self._body(host, Box(0, 0, self.width, 0))
        return body + _PAD if body > _HEAD else _HEAD

    def _body(self, host: Host, box: Box) -> float:
        """Where what is in a box ends."""
        if not host.alive:
            return box.y + _HEAD + _CELL
        end = self._below_cells(host, box)
        drawn = self._pills(host, box)
        return max(
            [end - _GAP if end > box.y + _HEAD else box.y + _HEAD, *(p.box.bottom for p in drawn)]
        )

    def _below_cells(self, host: Host, box: Box) -> float:
        rows = -(-len(self.cells.devices(host)) // IN_A_ROW)
        return box.y + _HEAD + rows * (_CELL + _GAP)

    def _pills(self, host: Host, box: Box) -> list[Pill]:
        # A host with more devices than can be drawn has all of its bundles here.
        drawable = self.cells.devices(host) or not count(host)
        slots = self.cells.beside(host) if drawable else self.cells.slots(host)
        return pills(slots, box.x + _PAD, self._below_cells(host, box), box.w - 2 * _PAD)

    def draw(self, canvas: Canvas, host: Host, box: Box) -> None:
        """A host with its name, what is free of it, and what would be on it."""
        kind = "host" if host.alive else "host dead"
        with canvas.group(kind, self.tips.host(host), host=host.node_id):
            canvas.rect(box, "box", 6)
            free = self.tips.free(host)
            room = box.w - 2 * _PAD - width(free, SIZES["note"]) - 8
            name = fitted(self.tips.called[host.node_id], SIZES["name"], room, bold=True)
            canvas.text(box.x + _PAD, box.y + 10, name, "name" if host.alive else "name mute")
            canvas.text(box.right - _PAD, box.y + 10.5, free, "note mute", "end")
            if not host.alive:
                _cross_out(canvas, Box(box.x, box.y + _HEAD, box.w, box.h - _HEAD).inside(_PAD))
                return
            self._draw_cells(canvas, host, box)
            for pill in self._pills(host, box):
                draw_pill(canvas, pill, host, self.tips)

    def _draw_cells(self, canvas: Canvas, host: Host, box: Box) -> None:
        cells = self.cells.devices(host)
        for start in range(0, len(cells), IN_A_ROW):
            y = box.y + _HEAD + start // IN_A_ROW * (_CELL + _GAP)
            row = [
                (Box(box.x + _PAD + i * (self.cell + _GAP), y, self.cell, _CELL), cell)
                for i, cell in enumerate(cells[start : start + IN_A_ROW])
            ]
            for _, members in itertools.groupby(row, lambda item: self._tray(item[1])):
                self._draw_run(canvas, host, list(members))

    def _tray(self, cell: Cell) -> tuple[int, int] | None:
        """What the neighbours of one tensor-parallel group have in common."""
        slot = tray_of(cell)
        if slot is None or slot.tp_group is None:
            return None
        replica = self.tips.planned.placed[slot.place][1]
        return (slot.place, slot.tp_group) if replica.request.tensor_parallel_size > 1 else None

    def _draw_run(self, canvas: Canvas, host: Host, run: list[tuple[Box, Cell]]) -> None:
        first, last = run[0][0], run[-1][0]
        slot = tray_of(run[0][1])
        if slot is None or self._tray(run[0][1]) is None:
            for box, cell in run:
                draw_cell(canvas, box, cell, host, self.tips)
            return
        with canvas.group(f"tp {hue(slot.place)}", group=f"{slot.letter}:{slot.tp_group}"):
            draw_tray(canvas, Box(first.x, first.y, last.right - first.x, first.h), slot)
            for box, cell in run:
                draw_cell(canvas, box, cell, host, self.tips)

    # -- small -----------------------------------------------------------------------------------

    def small_size(self, hosts: Sequence[Host]) -> tuple[float, float]:
        """The width and height of these hosts when they are drawn small."""
        most = max(min(count(host), _MOST_TINY) for host in hosts)
        across, down = min(_TINY_ROW, max(1, most)), max(1, -(-most // _TINY_ROW))
        step = _TINY + _TINY_GAP
        return across * step - _TINY_GAP + 6, down * step - _TINY_GAP + 6

    def draw_small(self, canvas: Canvas, host: Host, box: Box) -> None:
        """A host without a word: a square for each device, in the colour of who is on it."""
        slots = self.cells.slots(host) if host.alive else ()
        tip = self.tips.host(host)
        if slots:
            tip += "\n" + self.tips.slots(slots, host).split("\n", 1)[0]
        kind = "small" if host.alive else "small dead"
        with canvas.group(kind, tip, host=host.node_id, bundle=ids(slots)):
            canvas.rect(box, "box", 2)
            if not host.alive:
                canvas.line(box.x + 2, box.y + 2, box.right - 2, box.bottom - 2, "cross")
                return
            squares: dict[str, list[str]] = {}
            step = _TINY + _TINY_GAP
            for i, cell in enumerate(self.cells.devices(host)[:_MOST_TINY]):
                x, y = box.x + 3 + i % _TINY_ROW * step, box.y + 3 + i // _TINY_ROW * step
                square = f"M{number(x)} {number(y)}h{_TINY:g}v{_TINY:g}h-{_TINY:g}z"
                squares.setdefault(_colour(cell), []).append(square)
            for colour, steps in squares.items():
                canvas.path("".join(steps), colour)


def _colour(cell: Cell) -> str:
    """The class of a small square: whose most of it is."""
    if not cell.pieces:
        return "free"
    slot = max(cell.pieces, key=lambda piece: (piece.ours, piece.share)).slot
    return "taken" if slot is None else f"{hue(slot.place)}-dot"


def _cross_out(canvas: Canvas, box: Box) -> None:
    canvas.line(box.x, box.y, box.right, box.bottom, "cross")
    canvas.line(box.x, box.bottom, box.right, box.y, "cross")
