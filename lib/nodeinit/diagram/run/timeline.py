"""The timeline of a run as an SVG: a lane for the machine, one for its hooks, and one for each host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from nodeinit.amounts import moment, seconds, times
from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.text import fitted, shown, width
from nodeinit.diagram.run.bars import BAR, THIN, Bars
from nodeinit.diagram.run.lanes import Lane, lanes_of
from nodeinit.diagram.run.legend import draw_legend
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.scale import Scale
from nodeinit.diagram.run.spans import Span, hooks, marks, stays
from nodeinit.diagram.run.style import ROOT, sheet
from nodeinit.diagram.sheets import SIZES

WIDTH = 1100.0
"""The pixels that a timeline is wide, unless said otherwise."""

_NAMESPACE = "http://www.w3.org/2000/svg"
_MARGIN, _NARROW = 16.0, 560.0
_GAP, _AXIS, _TICKS = 7.0, 22.0, 72.0


def timeline_svg(run: RunRecord, *, width: float = WIDTH) -> str:
    """The text of an SVG of what a run did when: the same for the same run, bounded for any.

    What is too short to be drawn is drawn together, with its counts; a long time of readiness is cut
    short. `width` is in pixels; where that is little, names stand above their lanes.
    """
    return _Drawing(run, max(width, 320.0)).text()


class _Drawing:
    """One drawing while it is made, from top to bottom."""

    def __init__(self, run: RunRecord, page: float) -> None:
        self.run, self.page = run, page
        self.stays = stays(run)
        self.hosts, self.rest = lanes_of(run)
        self.hooks = [span for span in hooks(run) if span.seconds > 0 or span.failed]
        self.narrow = page < _NARROW
        names = ["machine", "hooks", *(lane.name for lane in self.hosts)]
        widest = max(width(name, SIZES["name"], bold=True) for name in names)
        self.label = 0.0 if self.narrow else min(widest + 14, page * 0.26)
        goal = [(s.begin, s.end) for s in self.stays if s.kind == "goal"]
        left = _MARGIN + self.label
        self.scale = Scale.of(run.until, goal, left, page - _MARGIN)
        self.canvas = Canvas()
        self.bars = Bars(self.canvas, self.scale)
        self.y = _MARGIN

    def text(self) -> str:
        """The whole of it."""
        rows = [Lane("machine", "the states of the machine", self.stays)]
        if self.hooks:
            rows.append(Lane("hooks", "calls of hooks", self.hooks))
        rows += self.hosts
        high = sum(map(self._height, rows))
        self._axis(high)
        for row in rows:
            self._lane(row)
        if self.rest:
            room = self.page - 2 * _MARGIN
            self.canvas.text(_MARGIN, self.y + 2, fitted(self.rest, 11, room), "note mute")
            self.y += 18
        right = self.page - _MARGIN
        self.y = draw_legend(self.canvas, self.bars.signs, _MARGIN, right, self.y)
        return self._document(self.y + _MARGIN - _GAP)

    def _height(self, lane: Lane) -> float:
        above = 16.0 if self.narrow else 0.0
        return above + BAR + (THIN + 2 if lane.thin else 0) + _GAP

    def _axis(self, high: float) -> None:
        top = self.y + _AXIS - 6
        apart, found = self.scale.ticks(_TICKS if not self.narrow else 54.0)
        for at, x in found:
            self.canvas.line(x, top, x, top + high, "tick")
            text = moment(at, apart)
            room = width(text, SIZES["note"]) / 2
            anchor = "start" if x - room < 2 else "end" if x + room > self.page - 2 else "middle"
            self.canvas.text(x, self.y - 4, text, "note mute", anchor)
        self.y += _AXIS

    def _lane(self, lane: Lane) -> None:
        if self.narrow:
            room = self.page - 2 * _MARGIN
            self.canvas.text(_MARGIN, self.y, fitted(lane.name, 12, room, bold=True), "name")
            self.y += 16
        else:
            room = self.label - 10
            name = fitted(lane.name, SIZES["name"], room, bold=True)
            with self.canvas.group("called", lane.tip):
                self.canvas.text(_MARGIN, self.y + 5, name, "name")
        wide = self.scale.right - self.scale.left
        high = BAR + (THIN + 2 if lane.thin else 0)
        self.canvas.rect(Box(self.scale.left, self.y, wide, high), "lane", 3)
        self.bars.draw(lane.spans, lane.thin, self.y)
        if lane.name == "machine":
            self.bars.mark(marks(self.run))
            self.bars.cut()
        self.y += high + _GAP

    def _document(self, high: float) -> str:
        w, h = number(self.page), number(high)
        title = f"The timeline of {self.run.name or self.run.machine.name}"
        said = "\n".join(_described(self.stays))
        return "\n".join(
            [
                f'<svg xmlns="{_NAMESPACE}" class="{ROOT}" viewBox="0 0 {w} {h}" width="{w}" '
                f'height="{h}" style="max-width:100%;height:auto" role="img">',
                f"<title>{escape(shown(title))}</title>",
                f"<desc>{escape(said)}</desc>",
                f"<style>{sheet()}</style>",
                f'<rect class="page" width="{w}" height="{h}"/>',
                str(self.canvas),
                "</svg>\n",
            ]
        )


def _described(found: Iterable[Span]) -> Iterator[str]:
    """The stays in words, summed up by state."""
    spent: dict[str, list[float]] = {}
    for span in found:
        spent.setdefault(span.name, []).append(span.seconds)
    for name, all_of_them in spent.items():
        often = f" in {times(len(all_of_them), 'stay')}" if len(all_of_them) > 1 else ""
        yield shown(f"{name}: {seconds(sum(all_of_them))}{often}")
