"""A definition that is not sound is refused when it is made, with every reason."""

from __future__ import annotations

import attrs
import pytest

from nodeinit.errors import DefinitionError
from nodeinit.fsm.definition import Definition, Edge, Phase, guard
from nodeinit.fsm.events import Event, Frame
from tests.fsm.small import EDGES, PHASES, SMALL, P, small, undo, work


@guard
def sometimes(*_: object) -> None:
    return None


def problems_of(**changes: object) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        small(**changes)
    return caught.value.problems


def without(source: str, event: str) -> tuple[Edge, ...]:
    """The edges of the small machine less those from a state for an event."""
    return tuple(
        single
        for edge in EDGES
        for single in edge.single()
        if (single.sources[0], single.events[0]) != (source, event)
    )


def test_the_small_machine_is_sound() -> None:
    assert "small" == SMALL.name
    assert ("idle", "fetch", "build", "ready") == SMALL.states[:4]


@pytest.mark.parametrize("event", ["done", "errored", "elapsed", "cancel"])
def test_every_phase_must_answer_what_can_happen_in_it(event: str) -> None:
    assert f"state 'build' has no edge for `{event}`" in problems_of(edges=without("build", event))


@pytest.mark.parametrize("event", ["done", "errored", "elapsed", "cancel"])
def test_a_last_edge_with_a_guard_may_leave_it_hanging(event: str) -> None:
    guarded = Edge(P.BUILD, event, Frame.RELEASING, (sometimes,))
    found = problems_of(edges=(*without("build", event), guarded))

    assert f"state 'build' may refuse `{event}`: its last edge for it is guarded" in found


def test_an_edge_behind_an_unguarded_one_is_dead() -> None:
    found = problems_of(edges=(*EDGES, Edge(P.FETCH, Event.CANCEL, Frame.READY)))

    assert (
        "edge fetch --cancel--> ready can never be taken: an edge before it has no guard" in found
    )


def test_an_unreachable_state_is_named() -> None:
    phases = (*SMALL.phases, Phase("island", work))  # type: ignore[arg-type]
    found = problems_of(
        phases=phases,
        edges=(
            *EDGES,
            Edge("island", ("done", "errored", "elapsed", "cancel"), Frame.RELEASING),
        ),
    )

    assert "state 'island' cannot be reached" in found


def test_a_dead_end_is_named() -> None:
    found = problems_of(edges=(*without("fetch", "done"), Edge(P.FETCH, "done", "cellar")))

    assert "state 'cellar' is a dead end: no edge leads out of it and it is not final" in found
    assert "edge fetch --done--> cellar: 'cellar' is neither a phase nor a state of the frame" in (
        found
    )


def test_a_state_from_which_nothing_ends_is_named() -> None:
    found = problems_of(
        edges=(
            *(e for e in EDGES if e.target not in set(Frame) - {Frame.BACKOFF, Frame.READY}),
            Edge((Frame.IDLE, *PHASES, Frame.READY), ("errored", "elapsed", "cancel"), P.FETCH),
        )
    )

    assert "from state 'fetch' no final state can be reached" in found


def test_a_final_state_has_no_way_out() -> None:
    found = problems_of(edges=(*EDGES, Edge(Frame.FAILED, Event.RETRY, P.FETCH)))

    assert "state 'failed' is final but has an edge out of it" in found


def test_only_releasing_leads_to_an_end() -> None:
    found = problems_of(
        edges=(*without("fetch", "cancel"), Edge(P.FETCH, Event.CANCEL, Frame.CANCELLED))
    )

    assert "edge fetch --cancel--> cancelled: only releasing may lead into a final state" in found


def test_what_is_acquired_has_an_undo() -> None:
    found = problems_of(undo={"other": undo})

    assert found == ("phase 'build' acquires 'thing', but nothing undoes it",)


def test_a_failing_hook_has_somewhere_to_go() -> None:
    found = problems_of(edges=without("idle", "errored"))

    assert "edge idle --start--> fetch fires hooks, but 'idle' has no edge for `errored`" in found


def test_a_backoff_leads_back() -> None:
    edges = tuple(e for e in EDGES if (e.events, e.target) != ((Event.RETRY,), P.BUILD))
    found = problems_of(edges=edges)

    assert (
        "edge build --errored--> backoff: no `retry` edge leads from backoff back to 'build'"
        in (found)
    )


@pytest.mark.parametrize(
    ("edge", "problem"),
    [
        (Edge(P.FETCH, "doen", P.BUILD), "'doen' is not an event"),
        (Edge(P.FETCH, Event.ACQUIRED, P.BUILD), "'acquired' is bookkeeping and takes no edge"),
        (Edge(P.FETCH, Event.LOST, P.BUILD, hooks=("before",)), "the hook 'before' must be called"),
    ],
)
def test_names_that_mean_nothing(edge: Edge, problem: str) -> None:
    assert any(problem in found for found in problems_of(edges=(*EDGES, edge)))


def test_a_phase_may_not_take_a_name_of_the_frame_or_come_twice() -> None:
    odd = (SMALL.phases[0], Phase("ready", work), Phase("", work))  # type: ignore[arg-type]
    twice = (*SMALL.phases, *odd)
    found = problems_of(phases=twice)

    assert "phase 'fetch' is defined twice" in found
    assert "phase 'ready' has the name of a state that every machine has" in found
    assert "a phase has no name: its state is ''" in found


def test_all_problems_come_at_once() -> None:
    found = problems_of(edges=without("build", "done"), undo={})

    assert len(found) >= 2


def test_the_canonical_form_has_names_only() -> None:
    data = SMALL.to_dict()

    assert {
        "from": ["build"],
        "on": ["displaced"],
        "to": "fetch",
        "guards": ["replans_left"],
        "hooks": ["on_before_fetch"],
        "assign": None,
        "observes": False,
    } in data["edges"]
    assert {"thing": "undo"} == data["undo"]


def test_a_further_phase_takes_over_what_its_predecessor_did_on_done() -> None:
    extended = SMALL.with_phase(Phase("polish", work), after=P.BUILD, hooks=("on_before_polish",))  # type: ignore[arg-type]
    singles = {(e.sources[0], e.events[0], e.target): e for e in extended.singles()}

    assert ("on_before_polish",) == singles["build", "done", "polish"].hooks
    assert ("on_ready",) == singles["polish", "done", "ready"].hooks
    assert ("build", "done", "ready") not in singles
    assert ("polish", "cancel", "releasing") in singles
    assert ("backoff", "retry", "polish") in singles
    assert isinstance(extended, Definition)
    assert SMALL == attrs.evolve(SMALL), "the original is untouched"
