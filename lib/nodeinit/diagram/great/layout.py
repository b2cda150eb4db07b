"""Where everything in the great picture stands: cards, arrows and their labels, in pixels.

The states on the way to the goal stand in one row, joined by straight arrows. Above it are lanes,
one for each arrow that leads back along the row. Below it, taps lead down from the states into
rails: one to the wait for another try, one from there back up, one to the giving back. Wait, giving
back and the final states stand in a lower row. Every label has a place of its own: in a gap between
two cards that is made wide enough for it, in a lane, or beside a tap in a column that is.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.great.overlay import Overlay
from nodeinit.diagram.great.shapes import MARGIN, Card, Label, Layout, Line, Rail
from nodeinit.diagram.great.words import LINE, beside, on_card
from nodeinit.diagram.ir import Diagram, StateKind
from nodeinit.diagram.plan.canvas import Box
from nodeinit.fsm.policy import Policy

_TITLE = 34.0
_PAD = 11.0  # between a card's border and its text
_GAP = 30.0  # an arrow is longer than its label by this
_SLOT = 16.0  # between a tap and its label, and behind that
_LANE = 10.0  # between the line of a lane and the label of the next
_RAIL = 18.0  # from one rail to the next
_BOX = 16.0  # from the phases to the box around them
_UNDER = 12.0

_PORTS = {
    "wait": 0.35,
    "retry": 0.65,
    "undo": 0.5,
}  # where rails meet a card, as parts of its width
_ROW = {StateKind.START, StateKind.PHASE, StateKind.GOAL}


LEGEND = ("+ added (thick) · − removed (dotted, struck out) · ~ changed (thick, broken)",)
"""What stands under a picture of two machines at once."""


def layout_of(diagram: Diagram, policy: Policy | None = None, run: Overlay | None = None) -> Layout:
    """The picture of a machine, or of a run on it: the same for the same, and without any overlap."""
    return _Layout(diagram, policy, run).made()


class _Layout:
    def __init__(self, diagram: Diagram, policy: Policy | None, run: Overlay | None) -> None:
        self.diagram = diagram
        self.words = {state.id: on_card(state, policy, run) for state in diagram.states}
        arrows = arrows_of(diagram)
        self.labels = {arrow: beside(arrow, run) for arrow in arrows}
        self.notes = run.notes if run is not None else LEGEND if diagram.compared else ()
        row = [state for state in diagram.states if state.kind in _ROW]
        rank = {StateKind.START: 0, StateKind.PHASE: 1, StateKind.GOAL: 2}
        self.row = [state.id for state in sorted(row, key=lambda state: rank[state.kind])]
        self.at = {id: i for i, id in enumerate(self.row)}
        self.kinds = {state.id: state.kind for state in diagram.states}
        self.cards: dict[str, Box] = {}
        self.lines: list[Line] = []
        self.rails: list[Rail] = []
        self._sort(arrows)

    def _sort(self, arrows: Sequence[Arrow]) -> None:
        """Which arrow goes which way."""
        self.ahead: dict[int, Arrow] = {}
        self.over: list[Arrow] = []
        self.taps: dict[str, list[tuple[str, Arrow]]] = {id: [] for id in self.row}
        self.across: list[Arrow] = []
        self.ends: list[Arrow] = []
        self.under: list[Arrow] = []
        waits = {StateKind.WAIT: "wait", StateKind.UNDO: "undo"}
        phases = [id for id in self.row if self.kinds[id] is StateKind.PHASE]
        boxed = 0
        for arrow in arrows:
            source, target = arrow.source, arrow.target
            if source is None and target in self.at:
                self.over.append(arrow)
            elif source is None:  # one tap for all, below one of the phases, in turns
                self.taps[phases[boxed % len(phases)]].append((waits[self.kinds[target]], arrow))
                boxed += 1
            elif source in self.at and target in self.at:
                if self.at[target] == self.at[source] + 1:
                    self.ahead[self.at[source]] = arrow
                else:
                    self.over.append(arrow)
            elif source in self.at:
                self.taps[source].append((waits[self.kinds[target]], arrow))
            elif self.kinds[source] is StateKind.WAIT and target in self.at:
                self.taps[target].append(("retry", arrow))
            elif self.kinds[source] is StateKind.WAIT and self.kinds[target] is StateKind.UNDO:
                self.across.append(arrow)
            elif self.kinds[target] is StateKind.FINAL:
                self.ends.append(arrow)
            else:
                self.under.append(arrow)
        for taps in self.taps.values():
            taps.sort(key=lambda tap: ("retry", "wait", "undo").index(tap[0]))
        self.last = phases[-1] if phases else ""
        self.boxed = any(arrow.source is None for arrow in arrows)

    def made(self) -> Layout:
        self.left = MARGIN + 14.0 * sum(arrow.target in self.at for arrow in self.under)
        self.top = MARGIN + _TITLE
        lanes = [self.labels[arrow].h + _LANE for arrow in self.over]
        detours = 10.0 * sum(arrow.target in self.at for arrow in self.under)
        self.row_top = self.top + sum(lanes) + detours + (_LANE if lanes or detours else 0)
        self._place_row()
        self._rails()
        self._place_below()
        self._arrows_over()
        self._arrows_below()
        right = max(
            *(box.right for box in self.cards.values()),
            *(line.label.box.right for line in self.lines),
            *(x for line in self.lines for x, _ in line.points),
        )
        cards = tuple(
            Card(state, self.cards[state.id], self.words[state.id]) for state in self.diagram.states
        )
        return Layout(
            self.diagram,
            cards,
            tuple(self.lines),
            tuple(self.rails),
            self.box,
            self.notes,
            right + MARGIN,
            self.bottom + (LINE * (len(self.notes) + 1) if self.notes else 0) + MARGIN,
        )

    # -- the row to the goal -------------------------------------------------------------------------

    def _card(self, id: str) -> tuple[float, float]:
        """The size of a card; one that taps lead out of is as wide as they are together."""
        words = self.words[id]
        taps = sum(self.labels[arrow].w + 2 * _SLOT for _, arrow in self.taps.get(id, ()))
        return max(words.w + 2 * _PAD, 96.0, taps), words.h + 2 * _PAD

    def _place_row(self) -> None:
        labels = {i: self.labels[arrow] for i, arrow in self.ahead.items()}
        high = max(self._card(id)[1] for id in self.row)
        # A label stands above its arrow, which meets the cards at half their height.
        high = max([high, *(2 * (words.h + 8) for words in labels.values())])
        self.row_high = high + 2 * _BOX
        mid = self.row_top + self.row_high / 2
        x = self.left
        self.slots: dict[str, list[float]] = {}
        for i, id in enumerate(self.row):
            w, h = self._card(id)
            widths = [self.labels[arrow].w + 2 * _SLOT for _, arrow in self.taps[id]]
            self.cards[id] = Box(x, mid - h / 2, w, h)
            at = x + (w - sum(widths)) / 2
            self.slots[id] = [at + sum(widths[:n]) + _SLOT / 2 for n in range(len(widths))]
            x += w
            need = labels[i].w + _GAP if i in labels else 0.0
            x += max(_GAP + 2 * _BOX, need + 2 * _BOX)
        for i, arrow in self.ahead.items():
            one, two = (self.cards[self.row[n]] for n in (i, i + 1))
            words = labels[i]
            place = Box((one.right + two.x - words.w) / 2, mid - 6 - words.h, words.w, words.h)
            points = ((one.right, mid), (two.x, mid))
            self.lines.append(Line(arrow, points, Label(place, words), "ahead"))
        phases = [self.cards[id] for id in self.row if self.kinds[id] is StateKind.PHASE]
        self.box = None
        if self.boxed:
            left, right = min(b.x for b in phases) - _BOX, max(b.right for b in phases) + _BOX
            self.box = Box(left, self.row_top, right - left, self.row_high)

    # -- taps and rails ------------------------------------------------------------------------------

    def _rails(self) -> None:
        """How far down the labels of the taps reach, and where the rails run below them."""
        under = self.row_top + self.row_high + _UNDER
        labels = [self.labels[arrow].h for taps in self.taps.values() for _, arrow in taps]
        first = under + max(labels, default=0.0) + _UNDER
        self.tapped = under
        used = {kind for taps in self.taps.values() for kind, _ in taps}
        kinds = [kind for kind in ("retry", "wait", "undo") if kind in used]
        self.rail: dict[str, float] = {kind: first + n * _RAIL for n, kind in enumerate(kinds)}
        self.lower = first + len(kinds) * _RAIL + _UNDER

    def _place_below(self) -> None:
        """The wait, the giving back, and a column of final states."""
        of = {kind: [s.id for s in self.diagram.states if s.kind is kind] for kind in StateKind}
        across = [self.labels[arrow] for arrow in self.across]
        ends = {arrow.target: self.labels[arrow] for arrow in self.ends}
        finals = of[StateKind.FINAL]
        step = max([self._card(id)[1] for id in finals] + [2 * w.h + 8 for w in ends.values()])
        step += 14
        others = [*of[StateKind.WAIT], *of[StateKind.UNDO]]
        high = max([step * len(finals), *(self._card(id)[1] for id in others)])
        mid = self.lower + high / 2
        gaps = [_GAP + max((words.w for words in across), default=0.0)] * (len(others) - 1)
        gaps.append(2 * _GAP + max((words.w for words in ends.values()), default=0.0))
        wide = sum(self._card(id)[0] for id in others) + sum(gaps)
        wide += max(self._card(id)[0] for id in finals)
        row = self.cards[self.row[-1]].right - self.left
        x = self.left + max(0.0, (row - wide) / 2)
        for id, gap in zip(others, gaps, strict=True):
            w, h = self._card(id)
            self.cards[id] = Box(x, mid - h / 2, w, h)
            x += w + gap
        top = mid - step * len(finals) / 2
        for n, id in enumerate(finals):
            w, h = self._card(id)
            self.cards[id] = Box(x, top + step * n + (step - h) / 2, w, h)
        self.lower_mid = mid
        self.bottom = self.lower + high

    def _arrows_below(self) -> None:
        found: dict[str, list[tuple[float, str]]] = {}
        for id in self.row:
            for (kind, arrow), x in zip(self.taps[id], self.slots[id], strict=True):
                lower = str(arrow.source) if kind == "retry" else arrow.target
                found.setdefault(kind, []).append((x, lower))
                self._tap(kind, arrow, x)
        for kind, taps in found.items():
            xs = [x for x, _ in taps]
            card = self.cards[taps[0][1]]
            port = card.x + card.w * _PORTS[kind]
            left, right, y = min(*xs, port), max(*xs, port), self.rail[kind]
            self.rails.append(Rail(kind, y, left, right, (port, card.y), kind != "retry"))
        for arrow in self.across:
            assert arrow.source is not None
            one, two = self.cards[arrow.source], self.cards[arrow.target]
            words, y = self.labels[arrow], self.lower_mid
            place = Box((one.right + two.x - words.w) / 2, y - 6 - words.h, words.w, words.h)
            self.lines.append(
                Line(arrow, ((one.right, y), (two.x, y)), Label(place, words), "undo")
            )
        for arrow in self.ends:
            assert arrow.source is not None
            one, two = self.cards[arrow.source], self.cards[arrow.target]
            words, y, turn = self.labels[arrow], two.y + two.h / 2, one.right + 14
            points = ((one.right, self.lower_mid), (turn, self.lower_mid), (turn, y), (two.x, y))
            place = Box(two.x - 14 - words.w, y - 5 - words.h, words.w, words.h)
            self.lines.append(Line(arrow, points, Label(place, words), "end"))
        self._arrows_under()

    def _tap(self, kind: str, arrow: Arrow, x: float) -> None:
        words, rail = self.labels[arrow], self.rail[kind]
        label = Label(Box(x + 6, self.tapped, words.w, words.h), words)
        card = self.cards.get(arrow.source or "") if kind != "retry" else self.cards[arrow.target]
        top = self.box.bottom if card is None and self.box else card.bottom if card else rail
        points = ((x, top), (x, rail))
        self.lines.append(
            Line(arrow, points[::-1] if kind == "retry" else points, label, kind, tap=True)
        )

    # -- lanes ---------------------------------------------------------------------------------------

    def _arrows_over(self) -> None:
        """Back along the row, in lanes above it: the shortest way in the lowest lane."""
        tops: dict[str, int] = dict.fromkeys(self.row, 0)
        # Out of the box around the phases an arrow starts above the last of them.
        ways = [(arrow.source or self.last, arrow.target) for arrow in self.over]
        ways += [("", arrow.target) for arrow in self.under if arrow.target in self.at]
        total = {id: sum(id == end for way in ways for end in way) for id in self.row}

        def port(id: str) -> float:
            tops[id] += 1
            box = self.cards[id]
            return box.x + box.w * tops[id] / (total[id] + 1)

        y = self.row_top - _LANE
        span = {
            arrow: abs(self.at[arrow.source or self.last] - self.at[arrow.target])
            for arrow in self.over
        }
        for arrow in sorted(self.over, key=lambda arrow: span[arrow]):
            words, one, two = self.labels[arrow], arrow.source or self.last, arrow.target
            start, end = port(one), port(two)
            card = self.cards[one]
            top = self.box.y if arrow.source is None and self.box else card.y
            points = ((start, top), (start, y), (end, y), (end, self.cards[two].y))
            x = max(self.left, (start + end - words.w) / 2)
            place = Box(x, y - 4 - words.h, words.w, words.h)
            self.lines.append(Line(arrow, points, Label(place, words), "over"))
            y -= words.h + _LANE
        self.detour = {}
        for arrow in self.under:
            if arrow.target in self.at:
                self.detour[arrow] = (port(arrow.target), y)
                y -= 10.0

    def _arrows_under(self) -> None:
        """What leads from the lower row to it, or around everything back to the upper one."""
        ports = _Ports()
        y, x = self.bottom + 18, self.left - 14
        for arrow in self.under:
            words, one = self.labels[arrow], self.cards[str(arrow.source)]
            two = self.cards[arrow.target]
            y += words.h + 4
            start = ports.below(one)
            if arrow in self.detour:
                end, lane = self.detour[arrow]
                points = [(start, one.bottom), (start, y), (x, y), (x, lane), (end, lane)]
                points.append((end, two.y))
                x -= 14
            else:
                end = ports.below(two)
                points = [(start, one.bottom), (start, y), (end, y), (end, two.bottom)]
            place = Box(max(self.left, start - words.w - 8), y - 4 - words.h, words.w, words.h)
            self.lines.append(Line(arrow, tuple(points), Label(place, words), "other"))
            y += _LANE
        self.bottom = y if self.under else self.bottom


class _Ports:
    """Where arrows meet the lower edge of cards, side by side."""

    def __init__(self) -> None:
        self._below: dict[Box, int] = {}

    def below(self, box: Box) -> float:
        self._below[box] = self._below.get(box, 0) + 1
        return box.right - min(box.w - 6, 12.0 * self._below[box])
