"""The great picture of a machine as an SVG: no library, no browser, the same bytes every time."""

from __future__ import annotations

from xml.sax.saxutils import escape

from nodeinit.diagram.arrows import Arrow
from nodeinit.diagram.great.layout import layout_of
from nodeinit.diagram.great.overlay import Overlay
from nodeinit.diagram.great.shapes import MARGIN, Card, Layout, Line, Rail
from nodeinit.diagram.great.style import ROOT, sheet
from nodeinit.diagram.great.words import LINE, LOOKS, NOTE, in_full
from nodeinit.diagram.ir import Diagram, StateKind
from nodeinit.diagram.plan.canvas import Canvas, number
from nodeinit.diagram.plan.text import fitted, shown
from nodeinit.fsm.policy import Policy

_NAMESPACE = "http://www.w3.org/2000/svg"
_HEAD = 8.0  # how long the head of an arrow is
_ROUND = 6.0  # of the corners of arrows


def machine_svg(diagram: Diagram, policy: Policy | None = None, run: Overlay | None = None) -> str:
    """The text of an SVG of a machine, for a light and for a dark page.

    With a `policy` the cards of phases say how patient it is with them. With a `run` what that did
    stands out, with numbers and times, and under the picture why it stands where it stands.
    """
    layout = layout_of(diagram, policy, run)
    canvas = Canvas()
    canvas.text(MARGIN, MARGIN - 4, diagram.title, "h1")
    if layout.phases is not None:
        canvas.rect(layout.phases, "phases", rounded=14)
    # Lines below cards, labels above lines: where two must cross, what is written stays readable.
    for line in layout.lines:
        _arrow(canvas, line, diagram, run)
    for rail in layout.rails:
        taps = [line.arrow for line in layout.lines if line.tap and line.kind == rail.kind]
        looks = {_look(arrow, diagram, run) for arrow in taps}
        # What only some of its taps are is seen on those; what a run took leads along it.
        mixed = "" if " taken" in looks else " faint"
        _rail(canvas, rail, looks.pop() if len(looks) == 1 else mixed)
    for card in layout.cards:
        _card(canvas, card, diagram, run)
    for n, note in enumerate(layout.notes):
        text = fitted(note, NOTE, layout.w - 2 * MARGIN)
        canvas.text(MARGIN, layout.notes_top + n * LINE, text, "note")
    return _document(layout, str(canvas))


def _document(layout: Layout, drawn: str) -> str:
    diagram = layout.diagram
    w, h = number(layout.w), number(layout.h)
    said = [f"A state machine of {len(diagram.states)} states."]
    said.append(f"The way: {' → '.join(c.state.label for c in layout.cards if _on_way(c))}.")
    said += [in_full(line.arrow, diagram) for line in layout.lines]
    said += layout.notes
    return "\n".join(
        [
            f'<svg xmlns="{_NAMESPACE}" class="{ROOT}" viewBox="0 0 {w} {h}" width="{w}" '
            f'height="{h}" style="max-width:100%;height:auto" role="img">',
            f"<title>{escape(shown(diagram.title))}</title>",
            f"<desc>{escape(chr(10).join(said))}</desc>",
            f"<style>{sheet(diagram.compared)}</style>",
            f'<rect class="page" width="{w}" height="{h}"/>',
            drawn,
            "</svg>\n",
        ]
    )


def _on_way(card: Card) -> bool:
    return card.state.kind in (StateKind.START, StateKind.PHASE, StateKind.GOAL)


def _card(canvas: Canvas, card: Card, diagram: Diagram, run: Overlay | None) -> None:
    state, box = card.state, card.box
    final = state.kind is StateKind.FINAL
    kind = state.name if final else str(state.kind)
    tip = f"{state.label}: {state.summary}" if state.summary else state.label
    if run is not None:
        kind += " now" if state.id == run.now else "" if state.id in run.states else " faint"
    elif diagram.compared:
        kind += LOOKS[state.mark] or " faint"
    with canvas.group(kind, tip, state=state.id):
        canvas.rect(box, rounded=9)
        if final:
            canvas.rect(box.inside(3), "twice", rounded=6)
        if state.id == diagram.initial:
            canvas.dot(box.x - 12, box.y + box.h / 2, 6)
        for n, (look, text) in enumerate(card.words.lines):
            y = box.y + (box.h - card.words.h) / 2 + n * LINE + 2
            canvas.text(box.x + box.w / 2, y, text, look, anchor="middle")


def _look(arrow: Arrow, diagram: Diagram, run: Overlay | None) -> str:
    """How an arrow stands out: as one that a run took, or by what became of it."""
    if run is not None:
        return " taken" if arrow in run.arrows else " faint"
    return (LOOKS[arrow.mark] or " faint") if diagram.compared else ""


def _arrow(canvas: Canvas, line: Line, diagram: Diagram, run: Overlay | None) -> None:
    look = _look(line.arrow, diagram, run)
    ends = f"{line.arrow.source or '*'}>{line.arrow.target}"
    with canvas.group(f"to-{line.kind}{look}", in_full(line.arrow, diagram), edge=ends):
        if line.tap and line.kind != "retry":
            canvas.line(*line.points[0], *line.points[1], "")  # its rail goes on from there
        else:
            canvas.path(_path(line.points), "")
            canvas.path(_head(line.points), "head")
        for n, (kind, text) in enumerate(line.label.words.lines):
            canvas.text(line.label.box.x, line.label.box.y + n * LINE + 1, text, f"{kind} label")


def _rail(canvas: Canvas, rail: Rail, look: str) -> None:
    x, y = rail.trunk
    points = ((x, rail.y), (x, y))
    with canvas.group(f"to-{rail.kind}{look}"):
        canvas.line(rail.left, rail.y, rail.right, rail.y, "")
        if rail.ahead:
            canvas.path(_path(points), "")
            canvas.path(_head(points), "head")
        else:
            canvas.line(*points[0], *points[1], "")


def _path(points: tuple[tuple[float, float], ...]) -> str:
    """Straight pieces with rounded corners, from the first point to the head of the arrow."""
    steps = [f"M{_point(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        if before == corner or corner == after:
            continue
        into, out = _toward(corner, before), _toward(corner, after)
        steps.append(f"L{_point(into)}Q{_point(corner)} {_point(out)}")
    last, before = points[-1], next((p for p in points[-2::-1] if p != points[-1]), points[-1])
    steps.append(f"L{_point(_toward(last, before, _HEAD - 1))}")
    return "".join(steps)


def _toward(
    start: tuple[float, float], end: tuple[float, float], by: float = _ROUND
) -> tuple[float, float]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(abs(dx), abs(dy))
    by = min(by, length / 2) if by == _ROUND else min(by, length)
    return (start[0] + _sign(dx) * by, start[1] + _sign(dy) * by)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _head(points: tuple[tuple[float, float], ...]) -> str:
    tip, before = points[-1], next((p for p in points[-2::-1] if p != points[-1]), points[-1])
    back = _toward(tip, before, _HEAD)
    across = (_HEAD / 2) if tip[0] == before[0] else 0.0
    aside = (_HEAD / 2) - across
    one, two = (back[0] - across, back[1] - aside), (back[0] + across, back[1] + aside)
    return f"M{_point(tip)}L{_point(one)}L{_point(two)}Z"


def _point(point: tuple[float, float]) -> str:
    return f"{number(point[0])} {number(point[1])}"
