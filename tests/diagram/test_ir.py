from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.diagram import StateKind, diagram_of
from nodeinit.diagram.ir import Acquired, State
from nodeinit.diagram.names import ids, visible
from nodeinit.fsm.definition import Definition, Edge, Phase
from nodeinit.fsm.events import Event, Frame
from tests.diagram.machines import ODD_NAMES, SMALL, definitions, work


def test_states_stand_in_the_order_of_the_machine_with_what_they_are_for() -> None:
    kinds = [(state.name, state.kind) for state in diagram_of(SMALL).states]

    assert kinds == [
        ("idle", StateKind.START),
        ("fetch", StateKind.PHASE),
        ("build", StateKind.PHASE),
        ("ready", StateKind.GOAL),
        ("backoff", StateKind.WAIT),
        ("releasing", StateKind.UNDO),
        ("failed", StateKind.FINAL),
        ("released", StateKind.FINAL),
    ]


def test_a_phase_tells_its_work_and_how_what_it_acquires_is_given_back() -> None:
    build = diagram_of(SMALL).state("build")

    assert build == State(
        "build",
        "build",
        "build",
        StateKind.PHASE,
        "put | together",
        "work",
        (Acquired("crane", "give_back"), Acquired("crew", "give_back")),
    )


def test_the_goal_tells_its_watch() -> None:
    assert diagram_of(SMALL).state("ready").activity == "work"


def test_edges_are_those_of_the_definition() -> None:
    diagram = diagram_of(SMALL)
    setback = diagram.edges[4]

    assert [edge.order for edge in diagram.edges] == list(range(len(SMALL.edges)))
    assert setback.sources == ("fetch", "build")
    assert setback.events == ("errored", "elapsed")
    assert setback.target == "backoff"
    assert setback.guards == ("temporary", "attempts_left")
    assert diagram.edges[1].hooks == ("on_parts", "on_crew")
    assert diagram.edges[3].assign == "next_plan"
    assert [edge.target for edge in diagram.edges if edge.observes] == ["failed"]
    assert diagram.host_hooks == ("on_site",)


def test_otherwise_is_what_is_left_when_guards_said_no() -> None:
    ways = diagram_of(SMALL).singles()

    done = [(w.target, w.otherwise) for w in ways if (w.source, w.event) == ("build", "done")]
    assert done == [("ready", False), ("fetch", True)]
    assert [w.otherwise for w in ways if w.source == "idle"] == [False] * 3


def test_a_machine_may_name_its_own_start() -> None:
    machine = Definition(
        name="m",
        phases=(Phase("p", work),),
        initial="dawn",
        edges=(
            Edge("dawn", Event.START, "p"),
            Edge("p", Event.DONE, Frame.READY),
            Edge(Frame.READY, Event.RELEASE, Frame.RELEASING),
            Edge(("dawn", "p"), (Event.ERRORED, Event.CANCEL), Frame.RELEASING),
            Edge("p", Event.ELAPSED, Frame.RELEASING),
            Edge(Frame.RELEASING, Event.UNDONE, Frame.RELEASED),
        ),
    )
    diagram = diagram_of(machine)

    assert (diagram.initial, diagram.goal) == ("dawn", "ready")
    assert diagram.state("dawn").kind is StateKind.START
    assert "idle" not in {state.name for state in diagram.states}


@settings(deadline=None)
@given(definitions())
def test_a_diagram_is_printable_and_equal_every_time(definition: Definition) -> None:
    diagram = diagram_of(definition)

    assert diagram == diagram_of(definition)
    texts = [text for state in diagram.states for text in (state.label, state.summary)]
    texts += [text for edge in diagram.edges for text in (*edge.guards, *edge.hooks)]
    assert all("\n" not in text and text.isascii() | bool(text.encode()) for text in texts)
    assert [s.name for s in diagram.states] == list(definition.states)


@settings(deadline=None)
@given(st.lists(st.text() | st.sampled_from(ODD_NAMES) | st.from_regex(r"s\d", fullmatch=True)))
def test_ids_are_words_and_differ(names: list[str]) -> None:
    given_ids = ids(names)

    assert list(given_ids) == list(dict.fromkeys(names))
    assert len(set(given_ids.values())) == len(given_ids)
    for id in given_ids.values():
        assert id.isascii() and id.isidentifier() and id.islower()
    assert {"end", "state", "class", "note", "root", "constructor"}.isdisjoint(given_ids.values())


def test_plain_names_are_their_own_ids() -> None:
    assert ids(["config", "s1", "Warm up", "end"]) == {
        "config": "config",
        "s1": "s1",
        "Warm up": "s2",
        "end": "s3",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\x1b", "two\\nlines\\x1b"),
        ("\ud800", "\\ud800"),
        ("\u202eabc", "\\u202eabc"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("", "''"),
        (" ", "' '"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


class Worker:
    async def __call__(self, ctx: object, run: object) -> object:
        return ctx


@pytest.mark.parametrize(
    ("activity", "name"),
    [
        (work, "work"),
        (functools.partial(functools.partial(work, run=None), ctx=None), "work"),
        (Worker(), "Worker"),
        (attrs.evolve, "evolve"),
    ],
)
def test_every_callable_has_a_name_that_is_the_same_in_every_process(
    activity: Any, name: str
) -> None:
    phases = tuple(attrs.evolve(phase, activity=activity) for phase in SMALL.phases)

    assert {s.activity for s in diagram_of(attrs.evolve(SMALL, phases=phases)).phases} == {name}
