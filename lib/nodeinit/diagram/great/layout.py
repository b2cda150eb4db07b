"""Where everything in the great picture stands: cards, arrows and their labels, in pixels.

The states on the way to the goal stand in one row, joined by straight arrows. Above it are lanes
for the arrows that lead back along the row. Below it, taps lead down from the states into
rails: one to the wait for another try, one from there back up, one to the giving back. Wait, giving
back and the final states stand in a lower row. Every label has a place of its own: in a gap between
two cards that is made wide enough for it, in a lane, or beside a tap in a column that is.
"""

from __future__ import annotations

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.great.lanes import Way, lanes_of
from nodeinit.diagram.great.overlay import Overlay
from nodeinit.diagram.great.routes import routes_of
from nodeinit.diagram.great.shapes import MARGIN, Card, Label, Layout, Line, Rail
from nodeinit.diagram.great.under import AROUND, under_of
from nodeinit.diagram.great.words import LINE, beside, on_card
from nodeinit.diagram.ir import Diagram, StateKind
from nodeinit.diagram.plan.canvas import Box
from nodeinit.fsm.policy import Policy

_TITLE = 34.0
_PAD = 11.0  # between a card's border and its text
_GAP = 30.0  # an arrow is longer than its label by this
_SLOT = 20.0  # a tap and its label take so much more room than the label
_RAIL = 18.0  # from one rail to the next
_BOX = 16.0  # from the phases to the box around them
_UNDER = 12.0

_PORTS = {
    "wait": 0.35,
    "retry": 0.65,
    "undo": 0.5,
}  # where rails meet a card, as parts of its width
LEGEND = ("+ added (thick) · − removed (dotted, struck out) · ~ changed (thick, broken)",)
"""What stands under a picture of two machines at once."""


def layout_of(diagram: Diagram, policy: Policy | None = None, run: Overlay | None = None) -> Layout:
    """The picture of a machine, or of a run on it: the same for the same, and without any overlap."""
    return _Layout(diagram, policy, run).made()


class _Layout:
    def __init__(self, diagram: Diagram, policy: Policy | None, run: Overlay | None) -> None:
        self.diagram = diagram
        self.labels = {arrow: beside(arrow, run) for arrow in arrows_of(diagram)}
        self.notes = run.notes if run is not None else LEGEND if diagram.compared else ()
        self.routes = routes_of(diagram)
        self.words = {
            state.id: on_card(state, policy, run, self._taps(state.id) - 2 * _PAD)
            for state in diagram.states
        }
        self.cards: dict[str, Box] = {}
        self.lines: list[Line] = []
        self.rails: list[Rail] = []

    def made(self) -> Layout:
        around = sum(arrow.target in self.routes.at for arrow in self.routes.under)
        self.left = MARGIN + (AROUND * (around + 1) if around else 0.0)
        self.row_top = 0.0  # all heights are from here on, until it is known how high lanes reach
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
        notes = LINE * (len(self.notes) + 1) if self.notes else 0
        layout = Layout(
            self.diagram,
            cards,
            tuple(self.lines),
            tuple(self.rails),
            self.box,
            self.notes,
            right + MARGIN,
            self.bottom + notes + MARGIN,
        )
        return layout.lower(MARGIN + _TITLE - self.top)

    # -- the row to the goal -------------------------------------------------------------------------

    def _card(self, id: str) -> tuple[float, float]:
        """The size of a card: all taps start at it, and the label of the last may reach beyond it."""
        words = self.words[id]
        return max(words.w + 2 * _PAD, 96.0, self._taps(id)), words.h + 2 * _PAD

    def _taps(self, id: str) -> float:
        """How wide a card must be, so that all taps start at it."""
        return sum(self._columns(id)[:-1]) + _SLOT

    def _columns(self, id: str) -> list[float]:
        """How much room the taps of a state need, side by side."""
        return [self.labels[arrow].w + _SLOT for _, arrow in self.routes.taps.get(id, ())]

    def _place_row(self) -> None:
        labels = {i: self.labels[arrow] for i, arrow in self.routes.ahead.items()}
        high = max(self._card(id)[1] for id in self.routes.row)
        # A label stands above its arrow, which meets the cards at half their height.
        high = max([high, *(2 * (words.h + 8) for words in labels.values())])
        self.row_high = high + 2 * _BOX
        mid = self.row_top + self.row_high / 2
        x = self.left
        self.slots: dict[str, list[float]] = {}
        for i, id in enumerate(self.routes.row):
            w, h = self._card(id)
            widths = self._columns(id)
            self.cards[id] = Box(x, mid - h / 2, w, h)
            at = x + max(0.0, (w - sum(widths)) / 2)
            self.slots[id] = [at + sum(widths[:n]) + _SLOT / 2 for n in range(len(widths))]
            x += w
            between = labels[i].w + _GAP if i in labels else _GAP
            x = max(x + between + _BOX, at + sum(widths) + _SLOT)
        for i, arrow in self.routes.ahead.items():
            one, two = (self.cards[self.routes.row[n]] for n in (i, i + 1))
            words = labels[i]
            place = Box((one.right + two.x - words.w) / 2, mid - 6 - words.h, words.w, words.h)
            points = ((one.right, mid), (two.x, mid))
            self.lines.append(Line(arrow, points, Label(place, words), "ahead"))
        phases = [
            self.cards[id] for id in self.routes.row if self.routes.kinds[id] is StateKind.PHASE
        ]
        self.box = None
        if self.routes.boxed:
            left, right = min(b.x for b in phases) - _BOX, max(b.right for b in phases) + _BOX
            self.box = Box(left, self.row_top, right - left, self.row_high)

    # -- taps and rails ------------------------------------------------------------------------------

    def _rails(self) -> None:
        """How far down the labels of the taps reach, and where the rails run below them."""
        under = self.row_top + self.row_high + _UNDER
        labels = [self.labels[arrow].h for taps in self.routes.taps.values() for _, arrow in taps]
        first = under + max(labels, default=0.0) + _UNDER
        self.tapped = under
        used = {kind for taps in self.routes.taps.values() for kind, _ in taps}
        kinds = [kind for kind in ("retry", "wait", "undo") if kind in used]
        self.rail: dict[str, float] = {kind: first + n * _RAIL for n, kind in enumerate(kinds)}
        self.lower = first + len(kinds) * _RAIL + _UNDER

    def _place_below(self) -> None:
        """The wait, the giving back, and a column of final states."""
        of = {kind: [s.id for s in self.diagram.states if s.kind is kind] for kind in StateKind}
        across = [self.labels[arrow] for arrow in self.routes.across]
        ends = {arrow.target: self.labels[arrow] for arrow in self.routes.ends}
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
        row = self.cards[self.routes.row[-1]].right - self.left
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
        for id in self.routes.row:
            for (kind, arrow), x in zip(self.routes.taps[id], self.slots[id], strict=True):
                lower = str(arrow.source) if kind == "retry" else arrow.target
                found.setdefault(kind, []).append((x, lower))
                self._tap(kind, arrow, x)
        for kind, taps in found.items():
            xs = [x for x, _ in taps]
            card = self.cards[taps[0][1]]
            port = card.x + card.w * _PORTS[kind]
            left, right, y = min(*xs, port), max(*xs, port), self.rail[kind]
            self.rails.append(Rail(kind, y, left, right, (port, card.y), kind != "retry"))
        for arrow in self.routes.across:
            assert arrow.source is not None
            one, two = self.cards[arrow.source], self.cards[arrow.target]
            words, y = self.labels[arrow], self.lower_mid
            place = Box((one.right + two.x - words.w) / 2, y - 6 - words.h, words.w, words.h)
            self.lines.append(
                Line(arrow, ((one.right, y), (two.x, y)), Label(place, words), "undo")
            )
        for arrow in self.routes.ends:
            assert arrow.source is not None
            one, two = self.cards[arrow.source], self.cards[arrow.target]
            words, y, turn = self.labels[arrow], two.y + two.h / 2, one.right + 14
            points = ((one.right, self.lower_mid), (turn, self.lower_mid), (turn, y), (two.x, y))
            place = Box(two.x - 14 - words.w, y - 5 - words.h, words.w, words.h)
            self.lines.append(Line(arrow, points, Label(place, words), "end"))
        lines, self.bottom = under_of(
            self.routes.under, self.labels, self.cards, self.detour, self.bottom, self.left
        )
        self.lines += lines

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
        """Back along the row, and from below around everything into it."""
        ways = []
        for arrow in self.routes.over:
            # Out of the box around the phases an arrow starts above the last of them.
            one = arrow.source or self.routes.phases[-1]
            top = self.box.y if arrow.source is None and self.box else self.cards[one].y
            ways.append(Way(arrow, one, arrow.target, top, self.labels[arrow]))
        for arrow in self.routes.under:
            if arrow.target in self.routes.at:
                ways.append(Way(arrow, None, arrow.target, 0.0, self.labels[arrow]))
        lanes = lanes_of(ways, self.cards, self.row_top, self.left)
        self.lines += lanes.lines
        self.detour = lanes.detours
        self.top = lanes.top
