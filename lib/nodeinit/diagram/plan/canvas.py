"""The elements of an SVG, written in order: the same calls give the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

import attrs

from nodeinit.diagram.plan.text import shown
from nodeinit.diagram.sheets import SIZES


@attrs.frozen
class Box:
    """A rectangle in pixels, from its top left corner."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """Where it ends to the right."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """Where it ends below."""
        return self.y + self.h

    def inside(self, by: float) -> Box:
        """A box that is smaller on every side."""
        return Box(self.x + by, self.y + by, self.w - 2 * by, self.h - 2 * by)


class Canvas:
    """Collects elements; `str()` is their text. What is drawn has no ids, so that it can be inlined."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self._lines)

    @contextlib.contextmanager
    def group(self, kind: str, title: str = "", **data: object) -> Iterator[None]:
        """Elements that belong together; the title is what a pointer on them shows."""
        values = "".join(f" data-{name}={quoteattr(shown(data[name]))}" for name in data)
        self._lines.append(f'<g class="{kind}"{values}>')
        if title:
            lines = "\n".join(map(shown, title.split("\n")))
            self._lines.append(f"<title>{escape(lines)}</title>")
        yield
        self._lines.append("</g>")

    def rect(self, box: Box, kind: str = "", rounded: float = 0) -> None:
        """A box, drawn."""
        place = f'x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.w)}" height="{_n(box.h)}"'
        corners = f' rx="{_n(rounded)}"' if rounded else ""
        self._lines.append(f"<rect {place}{corners}{_class(kind)}/>")

    def path(self, steps: str, kind: str) -> None:
        """A path of SVG's own notation."""
        self._lines.append(f'<path d="{steps}"{_class(kind)}/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self.path(f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}", kind)

    def dot(self, x: float, y: float, radius: float) -> None:
        """A filled circle around a point."""
        place = f'cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"'
        self._lines.append(f'<circle {place} class="dot"/>')

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        """A line of text with the top of its line at `y`, in the size of its kind."""
        baseline = y + 0.8 * SIZES[kind.split()[0]]
        end = "" if anchor == "start" else f' text-anchor="{anchor}"'
        place = f'x="{_n(x)}" y="{_n(baseline)}"'
        self._lines.append(f"<text {place}{end}{_class(kind)}>{escape(shown(text))}</text>")


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(value, 1):g}"


_n = number


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
