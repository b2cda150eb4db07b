"""The great picture: everything of the machine is there once, and nothing lies on anything else."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings

from nodeinit import CallbackCtx
from nodeinit.clusters.simulated import SimFault
from nodeinit.diagram import Diagram, StateKind, diagram_of
from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.great import machine_svg, overlay_of
from nodeinit.diagram.great.layout import layout_of
from nodeinit.diagram.great.shapes import Card, Layout, Line
from nodeinit.diagram.great.words import in_full
from nodeinit.diagram.plan.canvas import Box
from nodeinit.fsm.definition import Definition, Edge, Phase
from nodeinit.fsm.events import Event, Frame
from nodeinit.fsm.snapshot import Step
from nodeinit.node.policy import DEFAULT
from nodeinit.testing import Scenario
from nodeinit.testing.harness import Harness
from nodeinit.testing.scenario import Act
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import (
    ODD_NAMES,
    SMALL,
    definitions,
    large,
    passing,
    way_out,
    work,
)

SVG = "{http://www.w3.org/2000/svg}"


def names_are_phases(*names: str) -> Definition:
    """A machine whose phases have these names, one after the other."""
    way = [Frame.IDLE, *names, Frame.READY]
    events = [Event.START, *[Event.DONE] * len(names)]
    steps = (Edge(a, e, b) for (a, b), e in zip(itertools.pairwise(way), events, strict=True))
    return Definition(
        name=names[0],
        phases=tuple(Phase(name, work) for name in names),
        edges=(*steps, *way_out(*names)),
    )


ODD = names_are_phases(*(name for name in ODD_NAMES if name.strip() and name.isprintable()))
BACK = attrs.evolve(
    SMALL,
    edges=(
        Edge(Frame.RELEASING, Event.RETRY, "fetch"),
        Edge(Frame.RELEASING, Event.ELAPSED, Frame.RELEASING),
        Edge("build", Event.DISPLACED, "build"),
        *SMALL.edges,
    ),
)

# What every phase does alike may lead to a state of the row too.
ALIKE = attrs.evolve(
    SMALL,
    edges=(
        Edge(("fetch", "build"), Event.DISPLACED, Frame.READY),
        Edge(("fetch", "build"), Event.RETRY, Frame.IDLE),
        *SMALL.edges,
    ),
)


@settings(deadline=None, max_examples=60)
@given(definitions() | large())
@example(SMALL)
@example(BACK)
@example(ALIKE)
@example(NODE_INIT)
@example(ODD)
def test_nothing_lies_on_anything_else(definition: Definition) -> None:
    layout = layout_of(diagram_of(definition), DEFAULT)
    cards = [(card.state.name, card.box) for card in layout.cards]
    labels = [(repr(line.label.words.lines), line.label.box) for line in layout.lines]
    title = ("the title", Box(0, 0, layout.w, 40))

    for (one, a), (two, b) in itertools.combinations([title, *cards, *labels], 2):
        assert not overlap(a, b), f"{one} and {two}"
    for name, box in [*cards, *labels]:
        assert box.x >= 0 and box.right <= layout.w and box.bottom <= layout.h, name


@settings(deadline=None, max_examples=60)
@given(definitions() | large())
@example(BACK)
@example(ALIKE)
@example(ODD)
def test_no_line_runs_through_a_card(definition: Definition) -> None:
    layout = layout_of(diagram_of(definition), DEFAULT)

    for name, (one, two) in pieces(layout):
        line = drawn_as(one, two)
        for card in layout.cards:
            assert not overlap(line, card.box, by=0.6), f"{name} runs through {card.state.name}"


@settings(deadline=None, max_examples=60)
@given(definitions() | large())
@example(SMALL)
@example(BACK)
@example(NODE_INIT)
def test_no_two_arrows_run_along_each_other(definition: Definition) -> None:
    """But for the ends, which leave the giving back together, and what a rail has in common."""
    layout = layout_of(diagram_of(definition), DEFAULT)
    ends = {repr(line.arrow) for line in layout.lines if line.kind == "end"}
    drawn = [(name, piece) for name, piece in pieces(layout) if piece[0] != piece[1]]

    for (one, first), (two, second) in itertools.combinations(drawn, 2):
        if one != two and not {one, two} <= ends:
            assert not along(first, second), f"{one} and {two}"


@settings(deadline=None, max_examples=50)
@given(large())
@example(NODE_INIT)
@example(SMALL)
def test_no_line_strikes_out_a_label(definition: Definition) -> None:
    layout = layout_of(diagram_of(definition), DEFAULT)

    for line in layout.lines:
        struck = [
            piece
            for name, piece in pieces(layout)
            if name != repr(line.arrow) and overlap(drawn_as(*piece), line.label.box)
        ]
        # But where a lane is so short that its label has no other place, the label stays readable.
        assert not struck or (line.kind == "over" and not has_room(line, layout)), line


def test_arrows_below_the_lower_row_do_not_cross_each_other_either() -> None:
    more = Edge(Frame.RELEASING, Event.LOST, "build")
    layout = layout_of(diagram_of(attrs.evolve(BACK, edges=(more, *BACK.edges))))
    below = [line for line in layout.lines if line.kind == "other"]
    (start,) = [card.box for card in layout.cards if card.state.kind is StateKind.START]

    assert len(below) == 3
    for one, two in itertools.combinations(below, 2):
        for first in itertools.pairwise(one.points):
            for second in itertools.pairwise(two.points):
                assert not overlap(drawn_as(*first), drawn_as(*second)), (one.arrow, two.arrow)
    dot = Box(start.x - 18, start.y, 12, start.h)
    for line in below:
        assert not any(overlap(drawn_as(*piece), dot) for piece in itertools.pairwise(line.points))
        others = [other for other in below if other is not line]
        for other in others:
            pieces = itertools.pairwise(other.points)
            assert not any(overlap(drawn_as(*piece), line.label.box) for piece in pieces)


def has_room(line: Line, layout: Layout) -> bool:
    """Whether the label of a lane fits between two of the lines that go up through its lane."""
    left, right = sorted(x for x, _ in line.points[1:3])
    others = [other for other in layout.lines if other.kind in ("over", "other")]
    ups = {x for other in others for x, _ in other.points if left < x < right}
    spaces = itertools.pairwise(sorted({left, right, *ups}))
    return any(two - one >= line.label.box.w + 8 for one, two in spaces)


def test_arrows_that_do_not_interleave_do_not_cross() -> None:
    """Nested ones, side by side, to itself: from one card to both sides."""
    ways = [("c", "a"), ("c", "b"), ("b", "b"), ("c", "e"), ("c", "d"), ("e", "d"), ("b", "a")]
    plain = names_are_phases(*"abcde")
    fall = Edge(tuple("abcde"), (Event.DISPLACED, Event.LOST), Frame.RELEASING)
    # Some lead ahead: as far as that goes past the next one, it is drawn above the row too.
    back = [Edge(a, Event.LOST, b, (passing("may"),)) for a, b in [*ways, ("a", "e")]]
    layout = layout_of(diagram_of(attrs.evolve(plain, edges=(*back, *plain.edges, fall))))
    over = [line for line in layout.lines if line.kind == "over"]

    assert len(over) == len(back) - 1  # from c to d is straight ahead
    for one, two in itertools.combinations(over, 2):
        for first in itertools.pairwise(one.points):
            for second in itertools.pairwise(two.points):
                assert not overlap(drawn_as(*first), drawn_as(*second)), (one.arrow, two.arrow)


@settings(deadline=None)
@given(definitions())
@example(SMALL)
@example(BACK)
@example(NODE_INIT)
@example(ODD)
def test_every_state_and_edge_is_there_once(definition: Definition) -> None:
    diagram = diagram_of(definition)
    root = ET.fromstring(machine_svg(diagram, DEFAULT))
    groups = list(root.iter(f"{SVG}g"))

    states = Counter(group.get("data-state") for group in groups if group.get("data-state"))
    assert states == Counter(state.id for state in diagram.states)
    tips = Counter(group[0].text for group in groups if group.get("data-edge"))
    assert tips == Counter(in_full(arrow, diagram) for arrow in arrows_of(diagram))
    text = "".join(root.itertext())
    assert all(hook in text for edge in diagram.edges for hook in edge.hooks)


def test_arrows_end_where_they_lead_to() -> None:
    layout = layout_of(diagram_of(NODE_INIT), DEFAULT)
    cards = {card.state.id: card for card in layout.cards}

    for line in layout.lines:
        if not line.tap:
            assert touches(cards[line.arrow.target], line.points[-1]), line.arrow
            assert touches(cards[str(line.arrow.source)], line.points[0]), line.arrow
        elif line.kind == "retry":
            assert touches(cards[line.arrow.target], line.points[-1]), line.arrow
    for rail in layout.rails:
        into = StateKind.UNDO if rail.kind == "undo" else StateKind.WAIT
        (card,) = (card for card in layout.cards if card.state.kind is into)
        assert touches(card, rail.trunk)
        taps = [line for line in layout.lines if line.tap and line.kind == rail.kind]
        assert all(rail.left <= line.points[0][0] <= rail.right for line in taps)


def test_text_of_users_stays_text() -> None:
    hostile = names_are_phases("</text><script>alert(1)</script>", "a&b", 'x" onload="y')
    svg = machine_svg(diagram_of(hostile))

    found = list(ET.fromstring(svg).iter())
    assert {element.tag for element in found} <= {f"{SVG}{tag}" for tag in DRAWN}
    assert not any(name.startswith("on") for element in found for name in element.attrib)


DRAWN = ("svg", "title", "desc", "style", "g", "rect", "path", "circle", "text")


def test_it_is_small_and_says_what_it_is() -> None:
    svg = machine_svg(diagram_of(NODE_INIT), DEFAULT)

    assert svg == machine_svg(diagram_of(NODE_INIT), DEFAULT)
    assert len(svg.encode()) < 40_000
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert "4 h a try" in svg and "4 h a try" not in machine_svg(diagram_of(NODE_INIT))
    assert "prefers-color-scheme:dark" in svg


def pieces(layout: Layout) -> Iterator[tuple[str, tuple[tuple[float, float], tuple[float, float]]]]:
    for line in layout.lines:
        yield from ((repr(line.arrow), piece) for piece in itertools.pairwise(line.points))
    for rail in layout.rails:
        yield rail.kind, ((rail.left, rail.y), (rail.right, rail.y))
        yield rail.kind, ((rail.trunk[0], rail.y), rail.trunk)


def overlap(a: Box, b: Box, by: float = 0.1) -> bool:
    """Whether they have more than an edge in common."""
    return (
        min(a.right, b.right) - max(a.x, b.x) > by and min(a.bottom, b.bottom) - max(a.y, b.y) > by
    )


def along(
    one: tuple[tuple[float, float], tuple[float, float]],
    two: tuple[tuple[float, float], tuple[float, float]],
) -> bool:
    """Whether two straight pieces have more than a point in common."""
    for axis in (0, 1):
        if len({point[axis] for piece in (one, two) for point in piece}) == 1:
            (a, b), (c, d) = (sorted(point[1 - axis] for point in piece) for piece in (one, two))
            return min(b, d) - max(a, c) > 0.1
    return False


def drawn_as(one: tuple[float, float], two: tuple[float, float]) -> Box:
    """The ink of a straight line."""
    x, y = min(one[0], two[0]), min(one[1], two[1])
    return Box(x - 0.5, y - 0.5, abs(one[0] - two[0]) + 1, abs(one[1] - two[1]) + 1)


def touches(card: Card, point: tuple[float, float]) -> bool:
    x, y = point
    box = card.box
    on_side = x in (box.x, box.right) and box.y <= y <= box.bottom
    on_end = y in (box.y, box.bottom) and box.x <= x <= box.right
    return on_side or on_end


def run_of(**fields: Any) -> tuple[Step, ...]:
    """The steps of a real run in memory."""
    with Harness(Quiet) as harness:
        return tuple(harness.run(Scenario((2,), 2, 1, **fields)).driver.steps)


class Quiet:
    def on_before_init(self, ctx: CallbackCtx) -> None: ...


def test_a_run_is_drawn_over_its_machine() -> None:
    faults = (SimFault("fetch", "temporary", 0), SimFault("reserve", "permanent", 0))
    steps = run_of(faults=faults)
    diagram = diagram_of(NODE_INIT)
    run = overlay_of(NODE_INIT, steps)
    root = ET.fromstring(machine_svg(diagram, DEFAULT, run))

    taken = [step for step in steps if step.accepted and step.edge is not None]
    numbers = re.findall(r"#(\d+) at", " ".join(run.arrows.values()))
    assert sorted(map(int, numbers)) == list(range(1, len(taken) + 1))
    assert run.now == "failed" and run.over
    assert run.states["placement"].startswith("✗") and "2 visits" in run.states["download"]
    assert "ready" not in run.states
    assert any("reserve failed" in note for note in run.notes)
    looks = {g.get("data-edge"): str(g.get("class")).split()[-1] for g in root.iter(f"{SVG}g")}
    assert looks["idle>config"] == "taken" and looks["placement>ready"] == "faint"
    text = "".join(root.itertext())
    assert "in placement" in run.arrows[by_ends(diagram, None, "releasing")]
    assert all(when in text for when in run.arrows.values())


@pytest.mark.parametrize("fields", [{}, {"acts": (Act(8.0, "cancel"),)}, {"gpus": (1,)}])
def test_nothing_lies_on_anything_else_in_a_run_either(fields: dict[str, Any]) -> None:
    with Harness(Quiet) as harness:
        steps = harness.run(attrs.evolve(Scenario((2,), 2, 1), **fields)).driver.steps
    layout = layout_of(diagram_of(NODE_INIT), DEFAULT, overlay_of(NODE_INIT, steps))
    boxes = [card.box for card in layout.cards] + [line.label.box for line in layout.lines]

    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    assert all(box.bottom < layout.notes_top for box in boxes)


def test_a_long_run_makes_no_larger_picture() -> None:
    steps = run_of(faults=(SimFault("fetch", "temporary", 0),))
    long = steps[:-3] * 2_000  # not one run, but as many steps of every kind as a long one has
    svg = machine_svg(diagram_of(NODE_INIT), DEFAULT, overlay_of(NODE_INIT, long))

    assert len(long) > 10_000
    assert len(svg.encode()) < 40_000
    assert "2000 times" in svg


def by_ends(diagram: Diagram, source: str | None, target: str) -> Arrow:
    return next(a for a in arrows_of(diagram) if (a.source, a.target) == (source, target))
