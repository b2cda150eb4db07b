"""What does not fit, and why, in a box of its own."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from nodeinit.diagram.plan.canvas import Box, Canvas
from nodeinit.diagram.plan.text import wrapped
from nodeinit.diagram.plan.words import refusals
from nodeinit.diagram.sheets import SIZES
from nodeinit.placement.planned import Planned

MOST = 6
"""So many explanations are written out; what else does not fit is only named."""

_MOST_LINES = 40
_PAD, _LINE, _APART = 12.0, 16.0, 8.0


@attrs.frozen
class Line:
    """A line of text and where its top is."""

    text: str
    kind: str
    x: float
    y: float


def lines(planned: Planned, box: Box) -> list[Line]:
    """The explanations, broken into lines that have room in a box as wide as this one."""
    found: list[Line] = []
    y = box.y + _PAD
    for heading, body in _parts(planned):
        if found:
            y += _APART
        for kind, indent, text in (("name bad", 0.0, heading), *(("note", d, t) for d, t in body)):
            size = SIZES[kind.split()[0]] * (1.13 if kind.startswith("name") else 1)
            room = box.w - 2 * _PAD - indent
            broken = list(wrapped(text, size, room))
            for part in (*broken[:_MOST_LINES], *(["…"] if len(broken) > _MOST_LINES else [])):
                found.append(Line(part, kind, box.x + _PAD + indent, y))
                y += _LINE
    return found


def _parts(planned: Planned) -> Iterator[tuple[str, list[tuple[float, str]]]]:
    refused = list(refusals(planned))
    for which, why in refused[:MOST]:
        told = str(why).split("\n")
        yield which, [(10.0 if line.startswith(" ") else 0.0, line.strip()) for line in told]
    if len(refused) > MOST:
        yield f"and {len(refused) - MOST} more that do not fit", []


def height(found: list[Line], box: Box) -> float:
    """The height of the box around these lines."""
    return found[-1].y + _LINE + _PAD - 2 - box.y


def draw(canvas: Canvas, found: list[Line], box: Box) -> None:
    """The box with its lines."""
    with canvas.group("reasons"):
        canvas.rect(box, "why", 6)
        for line in found:
            canvas.text(line.x, line.y, line.text, line.kind)
