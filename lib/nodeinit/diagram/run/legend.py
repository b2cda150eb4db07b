"""What the signs of a timeline stand for; only of what is there to be seen."""

from __future__ import annotations

from collections.abc import Set

from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.text import width
from nodeinit.diagram.run.bars import THIN, cross
from nodeinit.diagram.sheets import SIZES

_SIGNS = {
    "curve": "bytes that were there",
    "thin": "the group is held",
    "cross": "came to no good end",
    "mark": "an event was refused, or a hook failed",
    "cut": "a long time, cut short",
    "many": "so many, drawn together",
}


def draw_legend(canvas: Canvas, signs: Set[str], left: float, right: float, y: float) -> float:
    """Draw the signs with their words from `y` on, and answer where they end."""
    entries = [(sign, text) for sign, text in _SIGNS.items() if sign in signs]
    x = left
    for sign, text in entries:
        wide = 26 + width(text, SIZES["note"]) + 14
        if x > left and x + wide > right:
            x, y = left, y + 18
        _sign(canvas, sign, Box(x, y + 2, 20, 12))
        canvas.text(x + 26, y + 2, text, "note mute")
        x += wide
    return y + 20 if entries else y


def _sign(canvas: Canvas, sign: str, box: Box) -> None:
    x, y = number(box.x), number(box.bottom)
    kind = {"thin": "group", "mark": "event", "many": "other"}.get(sign, "fetch")
    with canvas.group(kind):
        match sign:
            case "curve":
                canvas.rect(box, "", 3)
                canvas.path(f"M{x} {y}l20 -12v12Z", "curve")
            case "thin":
                canvas.rect(Box(box.x, box.y + 3, box.w, THIN), "", 2)
            case "cross":
                canvas.path(cross(Box(box.x, box.y, 14, box.h)), "cross")
            case "mark":
                canvas.path(f"M{number(box.x + 10)} {number(box.y + 2)}l5 8h-10z", "mark")
            case "cut":
                for at in (box.x + 8, box.x + 12):
                    canvas.line(at - 3, box.bottom, at + 3, box.y, "cut")
            case _:
                canvas.text(box.x + 10, box.y, "9×", "note in", "middle")
