"""Two machines compared: everything of both is there once, with the mark of what became of it."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings

from nodeinit.diagram import Diagram, diagram_of
from nodeinit.diagram.arrows import arrows_of
from nodeinit.diagram.diff import changes, compare, differs, html, markdown, read, text, to_dict
from nodeinit.diagram.great import machine_svg
from nodeinit.diagram.great.layout import layout_of
from nodeinit.diagram.great.words import in_full
from nodeinit.diagram.ir import Mark, Single
from nodeinit.errors import ConfigError
from nodeinit.fsm.definition import Definition, Edge, Phase
from nodeinit.fsm.events import Event, Frame
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL, definitions, passing, work
from tests.diagram.test_great import ALIKE, BACK, ODD, SVG, names_are_phases, overlap
from tests.diagram.test_machine_page import Read

WARM = NODE_INIT.with_phase(Phase("warmup", work, summary="answer once"), after="placement")
OLD, NEW = (Mark.SAME, Mark.CHANGED, Mark.REMOVED), (Mark.SAME, Mark.CHANGED, Mark.ADDED)


def compared(old: Definition, new: Definition) -> Diagram:
    return compare(old.to_dict(), new.to_dict())


def with_edges(*changed: tuple[int, Edge | None]) -> Definition:
    """The small machine with other edges in some places, or none there."""
    edges: dict[int, Edge | None] = {**dict(enumerate(SMALL.edges)), **dict(changed)}
    kept = [edge for _, edge in sorted(edges.items()) if edge is not None]
    return attrs.evolve(SMALL, edges=tuple(kept))


def told(old: Definition, new: Definition) -> list[tuple[str, str, str]]:
    return [(c.mark.value, c.subject, c.what) for c in changes(compared(old, new))]


def ways(diagram: Diagram, singles: tuple[Single, ...]) -> Counter[tuple[str, ...]]:
    names = {state.id: state.name for state in diagram.states}
    return Counter((names[s.source], s.event, names[s.target]) for s in singles)


@settings(deadline=None, max_examples=30)
@given(definitions(), definitions())
@example(SMALL, BACK)
@example(BACK, ALIKE)
@example(ODD, SMALL)
@example(WARM, NODE_INIT)
def test_everything_of_both_is_there_once(old: Definition, new: Definition) -> None:
    both = compared(old, new)

    for one, marks in ((old, OLD), (new, NEW)):
        of_one = diagram_of(one)
        states = [state.name for state in both.states if state.mark in marks]
        assert sorted(states) == sorted(one.states)
        singles = tuple(single for single in both.singles() if single.mark in marks)
        assert ways(both, singles) == ways(of_one, of_one.singles())
        if one is new:
            assert [s.otherwise for s in singles] == [s.otherwise for s in of_one.singles()]
    assert len({state.id for state in both.states}) == len(both.states)
    assert [s.name for s in both.states if s.mark in NEW] == list(new.states)


@settings(deadline=None, max_examples=30)
@given(definitions(), definitions())
@example(SMALL, BACK)
@example(BACK, ALIKE)
@example(NODE_INIT, WARM)
@example(WARM, NODE_INIT)
def test_the_picture_shows_it_and_nothing_lies_on_anything_else(
    old: Definition, new: Definition
) -> None:
    both = compared(old, new)
    layout = layout_of(both)
    boxes = [card.box for card in layout.cards] + [line.label.box for line in layout.lines]
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))

    groups = list(ET.fromstring(machine_svg(both)).iter(f"{SVG}g"))
    tips = Counter(group[0].text for group in groups if group.get("data-edge"))
    assert tips == Counter(in_full(arrow, both) for arrow in arrows_of(both))
    looks = {
        Mark.SAME: "faint", Mark.ADDED: "added", Mark.REMOVED: "gone", Mark.CHANGED: "changed",
    }  # fmt: skip
    drawn = Counter(str(g.get("class")).split()[-1] for g in groups if g.get("data-edge"))
    assert drawn == Counter(looks[arrow.mark] for arrow in arrows_of(both))


@settings(deadline=None, max_examples=30)
@given(definitions())
@example(NODE_INIT)
def test_a_machine_is_the_same_as_itself(definition: Definition) -> None:
    both = compared(definition, definition)

    assert not differs(both) and not changes(both)
    assert text(both).endswith(": nothing changed\n")
    assert attrs.evolve(both, edges=(), compared=False) == attrs.evolve(
        diagram_of(definition), edges=()
    )


def test_a_guard_a_hook_an_assign_and_what_hooks_may_do_are_told() -> None:
    edge = SMALL.edges[2]
    other = attrs.evolve(edge, guards=(edge.guards[1], passing("new")), hooks=("on_built",))
    again = attrs.evolve(SMALL.edges[3], assign=None)

    assert told(SMALL, with_edges((2, other), (3, again))) == [
        ("~", "build → ready", "on done if is_safe and + new and − stands; fires + on_built"),
        ("~", "build → fetch", "on done when nothing else applies"),
    ]
    (change,) = changes(compared(SMALL, with_edges((3, again))))
    assert change.notes == ("assigns nothing, not next_plan",)


def test_an_edge_that_lost_its_guards_is_what_is_left_where_others_have_some() -> None:
    one, two = SMALL.edges[2], attrs.evolve(SMALL.edges[3], guards=(passing("again"),))
    end = Edge("build", Event.DONE, Frame.RELEASING)
    old = attrs.evolve(SMALL, edges=(one, two, end, *SMALL.edges[:2], *SMALL.edges[4:]))
    new = attrs.evolve(
        SMALL, edges=(one, attrs.evolve(two, guards=()), *SMALL.edges[:2], *SMALL.edges[4:])
    )

    assert ("~", "build → fetch", "on done if − again when nothing else applies") in told(old, new)


def test_edges_that_are_tried_in_another_order_have_changed() -> None:
    one, two = SMALL.edges[2], attrs.evolve(SMALL.edges[3], guards=(passing("again"),))
    end = Edge("build", Event.DONE, Frame.RELEASING)
    old = attrs.evolve(SMALL, edges=(one, two, end, *SMALL.edges[:2], *SMALL.edges[4:]))
    new = attrs.evolve(SMALL, edges=(two, one, end, *SMALL.edges[:2], *SMALL.edges[4:]))
    more = attrs.evolve(
        new, edges=(Edge("build", Event.DONE, "build", (passing("x"),)), *new.edges)
    )

    found = {c.subject: (c.mark, c.notes) for c in changes(compared(old, new))}
    assert found["build → ready"] == (Mark.CHANGED, ("tried at place 2, not 1",))
    assert found["build → fetch"] == (Mark.CHANGED, ("tried at place 1, not 2",))
    assert told(new, more) == [("+", "build → build", "on done if x")], "the others only moved up"


def test_another_target_is_another_edge() -> None:
    other = attrs.evolve(SMALL.edges[3], target="build")

    assert told(SMALL, with_edges((3, other))) == [
        ("−", "build → fetch", "on done when nothing else applies"),
        ("+", "build → build", "on done when nothing else applies"),
    ]


def test_a_phase_more_and_what_it_does() -> None:
    found = told(NODE_INIT, attrs.evolve(WARM, name="node_init"))

    assert ("+", "warmup", "phase: answer once; activity work") in found
    assert ("+", "placement → warmup", "on done") in found
    assert {mark for mark, what, _ in found if what == "placement → ready"} == {"−"}
    back = told(attrs.evolve(WARM, name="node_init"), NODE_INIT)
    swap = {"+": "−", "−": "+", "~": "~"}
    assert sorted((swap[mark], what) for mark, what, _ in found) == sorted(c[:2] for c in back)


def test_what_a_state_does_and_holds_is_told() -> None:
    fetch, build = SMALL.phases
    other = attrs.evolve(build, activity=attrs.evolve, acquires=("crane",), summary="")
    (change,) = changes(compared(SMALL, attrs.evolve(SMALL, phases=(fetch, other))))

    assert (change.mark, change.subject) == (Mark.CHANGED, "build")
    assert change.notes == (
        "its activity was work", "was said to: put | together", "held crew, undone by give_back",
    )  # fmt: skip


def test_all_ways_of_telling_tell_the_same() -> None:
    both = compared(NODE_INIT, attrs.evolve(WARM, name="node_init"))
    found, record = changes(both), to_dict(both)

    assert len(record["states"]) == 1 and len(record["edges"]) == len(found) - 1
    assert not record["same"] and json.loads(json.dumps(record)) == record
    assert text(both).count("\n  + ") == sum(c.mark is Mark.ADDED for c in found)
    assert text(both).count("\n  − ") == sum(c.mark is Mark.REMOVED for c in found)
    assert markdown(both).count("\n| added |") == sum(c.mark is Mark.ADDED for c in found)
    assert text(both).startswith(f"node_init: 1 state and {len(found) - 1} edges differ\n")


def test_the_page_has_every_change_once_and_nothing_of_users_is_markup() -> None:
    hostile = names_are_phases("</code><script>alert(1)</script>", "a&b")
    both = compared(SMALL, hostile)
    page = Read(html(both))

    marks = re.findall(r'<span class="(?:good|bad|now)">. (\w+)</span>', html(both))
    words = {Mark.ADDED: "added", Mark.REMOVED: "removed", Mark.CHANGED: "changed"}
    assert Counter(marks) == Counter(words[change.mark] for change in changes(both))
    assert page.tags["script"] == 0 and page.tags["svg"] == 1
    assert not {"src", "href"} & {name for name, _ in page.attributes}


def changed(**keys: Any) -> str:
    return json.dumps({**SMALL.to_dict(), **keys})


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("{", "is not JSON"),
        ("[]", r"\$: \[\] is not of type 'object'"),
        (changed(states=["idle", 1]), r"\$\.states\[1\]: 1 is not of type 'string'"),
        (json.dumps({"name": "x"}), "'edges' is a required property"),
        (changed(goal="gaol"), r"\$\.goal = 'gaol': is not among the states"),
        (changed(states=[*SMALL.states, "odd"]), "'odd': is neither a phase nor a state"),
        (changed(undo={"crew": "x"}), r"\$\.phases\[1\]\.acquires = 'crane': has no undo"),
        (changed(edges=[{**SMALL.to_dict()["edges"][0], "to": "a"}]), r"\$\.edges\[0\] = 'a'"),
        (
            changed(edges=[{**SMALL.to_dict()["edges"][0], "on": ["go"]}]),
            r"\$\.edges\[0\]\.on\[0\]",
        ),
    ],
)
def test_a_file_that_holds_no_machine_is_refused(held: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    path.write_text(held)
    with pytest.raises(ConfigError, match=said) as caught:
        read(path)

    assert "machine.json" in str(caught.value)


@settings(deadline=None, max_examples=20)
@given(definitions())
def test_a_file_that_was_written_is_read(definition: Definition) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "machine.json"
        path.write_text(json.dumps(definition.to_dict()))
        assert read(path) == definition.to_dict()
