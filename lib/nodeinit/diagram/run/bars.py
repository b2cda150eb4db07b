"""What lies in the lanes of a timeline: bars with their labels, marks, and cuts in the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from nodeinit.amounts import seconds
from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.text import width
from nodeinit.diagram.run.merging import gathered, merged
from nodeinit.diagram.run.scale import Scale
from nodeinit.diagram.run.spans import Mark, Span
from nodeinit.diagram.run.style import KINDS
from nodeinit.diagram.sheets import SIZES

BAR, THIN = 22.0, 7.0
"""How high a bar is, in pixels, and one of what hosts hold in common."""


@attrs.define
class Bars:
    """Draws bars on a canvas, and remembers which `signs` of a legend they need."""

    canvas: Canvas
    scale: Scale
    y: float = 0.0
    signs: set[str] = attrs.field(factory=set)

    def draw(self, spans: Sequence[Span], thin: Sequence[Span], y: float) -> None:
        """The bars of one lane, whose top is at `y`; the `thin` ones lie below the others."""
        self.y = y
        drawn = list(merged(spans, self.scale))
        edges = [self.scale.x(span.begin) for span in drawn[1:]] + [self.scale.right]
        for span, edge in zip(drawn, edges, strict=True):
            self._span(span, edge)
        for span in merged(thin, self.scale):
            self._thin(span)

    def mark(self, found: Iterable[Mark]) -> None:
        """Triangles below the bars that were drawn last, at moments."""
        for x, mark in gathered(found, self.scale):
            y = self.y + BAR
            self.signs.add("mark")
            with self.canvas.group("event", mark.tip):
                corner = f"M{number(x)} {number(y - 7)}l5 8h-10z"
                self.canvas.path(corner, "mark worse" if mark.failed else "mark")

    def cut(self) -> None:
        """A sign on the bars that were drawn last where the time is cut short."""
        for begin, end in self.scale.cuts:
            x, right = self.scale.x(begin), self.scale.x(end)
            self._cut(right - min(26.0, (right - x) / 2))

    def _box(self, span: Span, high: float, y: float) -> Box:
        x, right = self.scale.x(span.begin), self.scale.x(span.end)
        wide = max(right - x, 2.0)
        return Box(min(x, self.scale.right - wide), y, wide, high)

    def _span(self, span: Span, edge: float) -> None:
        box = self._box(span, BAR, self.y)
        with self.canvas.group(_classes(span), span.tip):
            self.canvas.rect(box, "", 3)
            if span.shares:
                self.signs.add("many")
                self._shares(span, box)
            if span.curve:
                self.signs.add("curve")
                self.canvas.path(self._curve(span, box), "curve")
            if span.failed and not span.shares:
                self.signs.add("cross")
                self.canvas.path(cross(box), "cross")
            self._said(span, box, edge)

    def _said(self, span: Span, box: Box, edge: float) -> None:
        """The label: within the bar, else behind it if there is room up to the next."""
        texts = [span.label]
        if span.kind in ("phase", "goal", "wait", "undo", "start") and not span.shares:
            texts = [f"{span.label} {seconds(span.seconds)}", span.label, span.name]
        for text in filter(None, texts):
            wide = width(text, SIZES["note"])
            if span.shares and wide + 2 <= box.w:
                self.canvas.text(box.x + box.w / 2, self.y + 5.5, text, "note in", "middle")
                return
            if wide + 8 <= box.w:
                self.canvas.text(box.x + 5, self.y + 5.5, text, "note in")
                return
            if wide + 8 <= edge - box.right and not span.shares:
                self.canvas.text(box.right + 4, self.y + 5.5, text, "note outside")
                return

    def _shares(self, span: Span, box: Box) -> None:
        """How the time of many spans was shared, from top to bottom."""
        y = box.y + 1
        for kind, share in span.shares:
            high = (box.h - 2) * share
            if high >= 0.3:
                self.canvas.rect(
                    Box(box.x + 0.5, y, box.w - 1, high), f"share share-{_known(kind)}"
                )
            y += high

    def _curve(self, span: Span, box: Box) -> str:
        """How far it was when, as an area: the steeper, the faster."""
        points: list[tuple[float, float]] = []
        for at, part in span.curve:
            x = min(box.right, max(box.x, self.scale.x(at)))
            if points and x - points[-1][0] < 1.5:  # as many as can be seen
                points[-1] = (points[-1][0], part)
            else:
                points.append((x, part))
        end = box.right if not span.failed else points[-1][0]
        steps = [f"M{number(points[0][0])} {number(box.bottom)}"]
        steps += [f"L{number(x)} {number(box.bottom - part * box.h)}" for x, part in points]
        steps.append(f"H{number(end)}V{number(box.bottom)}Z")
        return "".join(steps)

    def _thin(self, span: Span) -> None:
        self.signs.add("thin")
        box = self._box(span, THIN, self.y + BAR + 1)
        with self.canvas.group(_classes(span), span.tip):
            self.canvas.rect(box, "", 2)

    def _cut(self, x: float) -> None:
        self.signs.add("cut")
        top, low = self.y - 2, self.y + BAR + 2
        gap = f"M{number(x - 5)} {number(low)}L{number(x + 1)} {number(top)}h4"
        self.canvas.path(f"{gap}L{number(x - 1)} {number(low)}Z", "cut-gap")
        for at in (x - 2, x + 2):
            self.canvas.line(at - 3, low, at + 3, top, "cut")


def _classes(span: Span) -> str:
    looks = [_known(span.kind)]
    looks += ["failed"] if span.failed else []
    looks += ["open"] if span.open else []
    return " ".join(looks)


def _known(kind: str) -> str:
    return kind if kind in KINDS else "other"


def cross(box: Box) -> str:
    """A stroke at the end of what came to no good end, for those who see no colours."""
    side = min(8.0, box.w)
    x, y = number(box.right - side), number(box.y + (box.h - side) / 2)
    return (
        f"M{x} {y}l{number(side)} {number(side)}m0 {number(-side)}l{number(-side)} {number(side)}"
    )
