from __future__ import annotations

import re
from collections import Counter

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodeinit.diagram import StateKind, diagram_of, to_mermaid
from nodeinit.diagram.mermaid import escape
from nodeinit.diagram.names import visible
from nodeinit.fsm.definition import Definition, Edge, Phase
from nodeinit.fsm.events import FINALS, Event, Frame
from tests.diagram.machines import ODD_NAMES, SMALL, definitions, passing, way_out, work
from tests.diagram.reading import TEXT, Picture, Way, decoded, read


def ways(definition: Definition) -> set[Way]:
    """Every way out of every state, from the definition itself and not from what is drawn of it."""
    ids = {state.name: state.id for state in diagram_of(definition).states}
    found = set()
    tried: set[tuple[str, str]] = set()
    for edge in definition.singles():
        source, event = edge.sources[0], edge.events[0]
        condition = tuple(visible(guard.name) for guard in edge.guards)
        if not condition and (source, event) in tried:
            condition = ("else",)
        tried.add((source, event))
        hooks = tuple(visible(hook) for hook in edge.hooks)
        found.add(Way(ids[source], str(event), ids[edge.target], condition, hooks))
    return found


@settings(deadline=None)
@given(definitions())
@example(SMALL)
def test_every_edge_is_drawn_once(definition: Definition) -> None:
    picture = read(to_mermaid(definition))

    assert Counter(ways(definition)) == picture.ways
    assert len(set(picture.arrows)) == len(picture.arrows)


@settings(deadline=None)
@given(definitions())
@example(SMALL)
def test_every_state_is_drawn_once_under_its_own_name(definition: Definition) -> None:
    picture = read(to_mermaid(definition))
    states = diagram_of(definition).states

    assert {s.id: visible(s.name) for s in states} == picture.labels
    assert {s.id: str(s.kind) for s in states} == picture.kinds
    assert visible(definition.name) == picture.title
    assert [s.id for s in states if s.name == definition.initial] == picture.starts
    assert [s.id for s in states if s.name in FINALS] == picture.ends
    phases = [s.id for s in states if s.kind is StateKind.PHASE]
    assert picture.boxed == (phases if len(phases) > 1 else [])


@settings(deadline=None)
@given(definitions())
def test_the_same_machine_gives_the_same_text(definition: Definition) -> None:
    assert to_mermaid(definition) == to_mermaid(definition)


@settings(deadline=None)
@given(st.text() | st.sampled_from(ODD_NAMES))
def test_escaped_text_says_the_same_and_holds_no_markup(text: str) -> None:
    escaped = escape(text)

    assert text == decoded(escaped)
    assert re.fullmatch(f"(?:{TEXT})?", escaped)


def test_text_cannot_become_a_direction_statement() -> None:
    assert escape("direction TB") == "direction#32;TB"


@pytest.mark.parametrize("name", ['<a b="c">', "no", "a: b", "# x", "'", "\\", "🙂", "%%{x}%%"])
def test_any_title_is_kept(name: str) -> None:
    assert read(to_mermaid(attrs.evolve(SMALL, name=name))).title == name


def small() -> Picture:
    return read(to_mermaid(SMALL))


def test_what_all_phases_do_alike_is_drawn_once_out_of_a_box() -> None:
    text = to_mermaid(SMALL)

    assert small().boxed == ["fetch", "build"]
    assert "phases --> backoff : errored, elapsed<br/>[temporary,<br/>attempts_left]" in text
    assert "phases --> releasing : errored, elapsed [else]<br/>cancel" in text
    assert "fetch --> releasing" not in text


def test_what_only_one_phase_does_is_drawn_out_of_that_phase() -> None:
    text = to_mermaid(SMALL)

    assert "build --> ready : done<br/>[stands,<br/>is_safe]" in text
    assert "build --> fetch : done [else]" in text


def test_an_arrow_never_leads_out_of_the_box_into_it() -> None:
    again = Edge(("a", "b"), Event.DISPLACED, "a")
    machine = Definition(
        name="m",
        phases=(Phase("a", work), Phase("b", work)),
        edges=(
            Edge(Frame.IDLE, Event.START, "a"),
            Edge("a", Event.DONE, "b"),
            Edge("b", Event.DONE, Frame.READY),
            again,
            *way_out("a", "b"),
        ),
    )
    picture = read(to_mermaid(machine))

    assert {("a", "a"), ("b", "a")} <= set(picture.arrows)
    assert ("phases", "a") not in picture.arrows


def test_alternatives_that_differ_in_a_hook_keep_their_own_arrows() -> None:
    machine = Definition(
        name="m",
        phases=(Phase("a", work), Phase("b", work)),
        edges=(
            Edge(Frame.IDLE, Event.START, "a"),
            Edge("a", Event.DONE, "b"),
            Edge("b", Event.DONE, Frame.READY),
            Edge("a", Event.DISPLACED, Frame.RELEASING, hooks=("on_a",)),
            Edge("b", Event.DISPLACED, Frame.RELEASING, hooks=("on_b",)),
            *way_out("a", "b"),
        ),
    )
    drawn = read(to_mermaid(machine)).ways

    assert drawn[Way("a", "displaced", "releasing", (), ("on_a",))] == 1
    assert drawn[Way("b", "displaced", "releasing", (), ("on_b",))] == 1
    assert drawn[Way("a", "displaced", "releasing", (), ("on_b",))] == 0


def test_phases_show_what_they_do() -> None:
    summaries = small().summaries

    assert summaries["fetch"] == "bring the parts; all of them"
    assert summaries["build"] == "put | together"
    assert {"failed", "released", "idle"}.isdisjoint(summaries)


@pytest.mark.parametrize("name", ["phases", "phases1"])
def test_a_phase_may_have_the_name_of_the_box(name: str) -> None:
    machine = Definition(
        name="m",
        phases=(Phase(name, work), Phase("phases2", work)),
        edges=(
            Edge(Frame.IDLE, Event.START, name),
            Edge(name, Event.DONE, "phases2", (passing("g"),)),
            Edge(name, Event.DONE, name),
            Edge("phases2", Event.DONE, Frame.READY),
            *way_out(name, "phases2"),
        ),
    )
    picture = read(to_mermaid(machine))

    assert picture.box is not None
    assert picture.box not in picture.labels
    assert [name, "phases2"] == picture.boxed
