"""The timeline of a run as an SVG: a lane for the machine, one for its hooks, and one for each host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

import attrs

from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.style import SIZES
from nodeinit.diagram.plan.text import fitted, shown, width
from nodeinit.diagram.plan.words import natural
from nodeinit.diagram.run.amounts import moment, seconds, times
from nodeinit.diagram.run.hosts import by_host
from nodeinit.diagram.run.merging import gathered, merged
from nodeinit.diagram.run.names import host_names
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.scale import Scale
from nodeinit.diagram.run.spans import Span, hooks, marks, stays
from nodeinit.diagram.run.style import KINDS, ROOT, sheet

WIDTH = 1100.0
"""The pixels that a timeline is wide, unless said otherwise."""

MOST_LANES = 20
"""So many hosts have a lane of their own; those that failed or took longest, when there are more."""

_NAMESPACE = "http://www.w3.org/2000/svg"
_MARGIN, _NARROW = 16.0, 560.0
_BAR, _GAP, _AXIS, _TICKS, _THIN = 22.0, 7.0, 22.0, 72.0, 7.0

_SIGNS = {
    "curve": "bytes that were there",
    "thin": "the group is held",
    "cross": "came to no good end",
    "mark": "an event was refused, or a hook failed",
    "cut": "a long time, cut short",
    "many": "so many, drawn together",
}


@attrs.frozen
class Lane:
    """One row: what it is called, and what was in it. `thin` spans lie below the others."""

    name: str
    tip: str
    spans: Sequence[Span]
    thin: Sequence[Span] = ()


def timeline_svg(run: RunRecord, *, width: float = WIDTH) -> str:
    """The text of an SVG of what a run did when: the same for the same run, bounded for any.

    What is too short to be drawn is drawn together, with its counts; a long time of readiness is cut
    short. `width` is in pixels; where that is little, names stand above their lanes.
    """
    return _Drawing(run, max(width, 320.0)).text()


def lanes_of(run: RunRecord) -> tuple[list[Lane], str]:
    """The lanes of hosts, by name, and a line about those that have none."""
    called = host_names(run)
    found = by_host(run)
    chosen = set(found)
    rest = ""
    if len(found) > MOST_LANES:

        def weight(node_id: str) -> tuple[bool, float]:
            spans = found[node_id]
            return any(span.failed for span in spans), sum(s.seconds for s in spans if _fat(s))

        ranked = sorted(found, key=weight, reverse=True)
        chosen = set(ranked[:MOST_LANES])
        spans = [span for node_id in ranked[MOST_LANES:] for span in found[node_id] if _fat(span)]
        longest = max((span.seconds for span in spans), default=0.0)
        rest = (
            f"and {times(len(found) - MOST_LANES, 'more host')}, with {times(len(spans), 'fetch')}"
        )
        rest = rest.replace("fetchs", "fetches") + f" of at most {seconds(longest)}"
    ordered = sorted(chosen, key=lambda node_id: (natural(called(node_id)), node_id))
    lanes = [
        Lane(
            called(node_id),
            f"host {called(node_id)}\n{node_id}",
            [span for span in found[node_id] if _fat(span)],
            [span for span in found[node_id] if not _fat(span)],
        )
        for node_id in ordered
    ]
    return lanes, rest


def _fat(span: Span) -> bool:
    """Whether it is the work of one host, and not something that it has in common with others."""
    return span.kind != "group"


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
        self.signs: set[str] = set()
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
        self._legend()
        return self._document(self.y + _MARGIN - _GAP)

    def _legend(self) -> None:
        """What the signs stand for; only of what is there to be seen."""
        entries = [(sign, text) for sign, text in _SIGNS.items() if sign in self.signs]
        x = _MARGIN
        for sign, text in entries:
            wide = 26 + width(text, SIZES["note"]) + 14
            if x > _MARGIN and x + wide > self.page - _MARGIN:
                x, self.y = _MARGIN, self.y + 18
            self._sign(sign, Box(x, self.y + 2, 20, 12))
            self.canvas.text(x + 26, self.y + 2, text, "note mute")
            x += wide
        self.y += 20 if entries else 0

    def _sign(self, sign: str, box: Box) -> None:
        x, y = number(box.x), number(box.bottom)
        kind = {"thin": "group", "mark": "event", "many": "other"}.get(sign, "fetch")
        with self.canvas.group(kind):
            match sign:
                case "curve":
                    self.canvas.rect(box, "", 3)
                    self.canvas.path(f"M{x} {y}l20 -12v12Z", "curve")
                case "thin":
                    self.canvas.rect(Box(box.x, box.y + 3, box.w, _THIN), "", 2)
                case "cross":
                    self.canvas.path(_cross(Box(box.x, box.y, 14, box.h)), "cross")
                case "mark":
                    self.canvas.path(f"M{number(box.x + 10)} {number(box.y + 2)}l5 8h-10z", "mark")
                case "cut":
                    for at in (box.x + 8, box.x + 12):
                        self.canvas.line(at - 3, box.bottom, at + 3, box.y, "cut")
                case _:
                    self.canvas.text(box.x + 10, box.y, "9×", "note in", "middle")

    def _height(self, lane: Lane) -> float:
        above = 16.0 if self.narrow else 0.0
        return above + _BAR + (_THIN + 2 if lane.thin else 0) + _GAP

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
        high = _BAR + (_THIN + 2 if lane.thin else 0)
        self.canvas.rect(Box(self.scale.left, self.y, wide, high), "lane", 3)
        drawn = list(merged(lane.spans, self.scale))
        edges = [self.scale.x(span.begin) for span in drawn[1:]] + [self.scale.right]
        for span, edge in zip(drawn, edges, strict=True):
            self._span(span, edge)
        for span in merged(lane.thin, self.scale):
            self._thin(span)
        if lane.name == "machine":
            self._marks()
            for begin, end in self.scale.cuts:
                x, right = self.scale.x(begin), self.scale.x(end)
                self._cut(right - min(26.0, (right - x) / 2))
        self.y += high + _GAP

    def _box(self, span: Span, high: float, y: float) -> Box:
        x, right = self.scale.x(span.begin), self.scale.x(span.end)
        wide = max(right - x, 2.0)
        return Box(min(x, self.scale.right - wide), y, wide, high)

    def _span(self, span: Span, edge: float) -> None:
        box = self._box(span, _BAR, self.y)
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
                self.canvas.path(_cross(box), "cross")
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
        box = self._box(span, _THIN, self.y + _BAR + 1)
        with self.canvas.group(_classes(span), span.tip):
            self.canvas.rect(box, "", 2)

    def _marks(self) -> None:
        for x, mark in gathered(marks(self.run), self.scale):
            y = self.y + _BAR
            self.signs.add("mark")
            with self.canvas.group("event", mark.tip):
                corner = f"M{number(x)} {number(y - 7)}l5 8h-10z"
                self.canvas.path(corner, "mark worse" if mark.failed else "mark")

    def _cut(self, x: float) -> None:
        self.signs.add("cut")
        top, low = self.y - 2, self.y + _BAR + 2
        gap = f"M{number(x - 5)} {number(low)}L{number(x + 1)} {number(top)}h4"
        self.canvas.path(f"{gap}L{number(x - 1)} {number(low)}Z", "cut-gap")
        for at in (x - 2, x + 2):
            self.canvas.line(at - 3, low, at + 3, top, "cut")

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


def _classes(span: Span) -> str:
    looks = [_known(span.kind)]
    looks += ["failed"] if span.failed else []
    looks += ["open"] if span.open else []
    return " ".join(looks)


def _known(kind: str) -> str:
    return kind if kind in KINDS else "other"


def _cross(box: Box) -> str:
    """A stroke at the end of what came to no good end, for those who see no colours."""
    side = min(8.0, box.w)
    x, y = number(box.right - side), number(box.y + (box.h - side) / 2)
    return (
        f"M{x} {y}l{number(side)} {number(side)}m0 {number(-side)}l{number(-side)} {number(side)}"
    )
