"""Laws that show only when a machine is run: each is broken by a definition that looks sound."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from nodeinit import load_machine
from nodeinit.errors import DefinitionError
from nodeinit.fsm.checks import problems
from nodeinit.fsm.definition import Definition, Edge, Guard, Phase, guard, retries
from nodeinit.fsm.dynamics import FEW, Dynamics, judge
from nodeinit.fsm.events import Event, Frame, Occurred
from nodeinit.fsm.guards import attempts_left, temporary
from nodeinit.fsm.policy import PhasePolicy, Policy
from nodeinit.fsm.registry import machines
from nodeinit.fsm.situations import explore
from nodeinit.fsm.snapshot import Snapshot
from nodeinit.fsm.unknown import unchecked
from tests.fsm.small import EDGES, P, small


@guard
def never(_before: Snapshot, _occurred: Occurred, _policy: Policy) -> str | None:
    return "not now"


@guard
def is_large(_before: Snapshot, occurred: Occurred, _policy: Policy) -> str | None:
    return None if occurred.ctx.n > 5 else "too small"


def without(edge_guard: Guard) -> tuple[Edge, ...]:
    """The edges of the small machine, none of them with this guard."""
    return tuple(
        attrs.evolve(edge, guards=tuple(g for g in edge.guards if g != edge_guard))
        for edge in EDGES
    )


def replaced(source: str, event: Event, *edges: Edge) -> tuple[Edge, ...]:
    """The edges with what one state does on one event put before the rest, in its place."""
    rest = []
    for edge in EDGES:
        if source in edge.sources and event in edge.events:
            sources = tuple(other for other in edge.sources if other != source)
            events = tuple(other for other in edge.events if other != event)
            if sources:
                rest.append(attrs.evolve(edge, sources=sources))
            if events:
                rest.append(attrs.evolve(edge, sources=(source,), events=events))
        else:
            rest.append(edge)
    return (*edges, *rest)


BACK = Edge(P.BUILD, Event.ERRORED, P.FETCH)

# What is wrong, the law that it breaks, where, and a way there.
BROKEN: dict[str, tuple[tuple[Edge, ...], str, str, tuple[str, ...]]] = {
    "tries without an end": (
        without(attempts_left),
        "bounded",
        "fetch",
        ("start", "errored", "retry", "errored", "retry"),
    ),
    "plans without an end": (
        replaced(Frame.READY, Event.LOST, Edge(Frame.READY, Event.LOST, P.FETCH)),
        "bounded",
        "fetch",
        ("start", "done", "displaced", "done", "displaced", "done", "done", "lost"),
    ),
    "a way that goes round": (
        replaced(P.BUILD, Event.ERRORED, BACK),
        "bounded",
        "build",
        ("start", "done"),
    ),
    "a cancel that waits": (
        replaced(P.BUILD, Event.CANCEL, Edge(P.BUILD, Event.CANCEL, Frame.BACKOFF)),
        "cancel",
        "build",
        ("start", "done"),
    ),
    "a retry of another phase": (
        replaced(
            Frame.BACKOFF,
            Event.RETRY,
            *(Edge(Frame.BACKOFF, Event.RETRY, phase, (retries(P.FETCH),)) for phase in P),
        ),
        "trap",
        "backoff",
        ("start", "done", "errored"),
    ),
    "a goal that nothing leads to": (
        replaced(
            P.BUILD,
            Event.DONE,
            Edge(P.BUILD, Event.DONE, Frame.READY, (never,)),
            Edge(P.BUILD, Event.DONE, P.FETCH),
        ),
        "live",
        "idle",
        (),
    ),
    "a state behind a closed door": (
        replaced(
            P.BUILD,
            Event.DONE,
            Edge(P.BUILD, Event.DONE, Frame.READY, (never,)),
            Edge(P.BUILD, Event.DONE, Frame.RELEASING),
        ),
        "reached",
        "ready",
        (),
    ),
    "an edge that asks for too much": (
        (Edge(P.FETCH, Event.ERRORED, Frame.BACKOFF, (temporary, never, attempts_left)), *EDGES),
        "dead",
        "fetch",
        (),
    ),
}


def told(found: Dynamics, law: str, state: str) -> Any:
    return next((b for b in found.broken if (b.law, b.state) == (law, state)), None)


@pytest.mark.parametrize("wrong", BROKEN)
def test_what_looks_sound_and_is_not(wrong: str) -> None:
    edges, law, state, way = BROKEN[wrong]
    definition = small(edges=edges)
    assert [] == problems(definition)

    broken = told(judge(definition), law, state)

    assert broken is not None, judge(definition).broken
    assert way == broken.way
    assert broken.machine == "small"
    assert broken.remedy and f"[{law}] small: " in str(broken)


def test_a_cancel_that_another_edge_takes_first() -> None:
    """It is in the table, where it cannot be seen that the guards before it never turn down."""

    @guard
    def ended(_before: Snapshot, _occurred: Occurred, _policy: Policy) -> str | None:
        return None

    edges = (Edge(Frame.RELEASING, Event.UNDONE, Frame.FAILED, (ended,)), *EDGES)
    found = judge(small(edges=edges))

    broken = told(found, "cancel", "fetch")
    assert "a cancel in fetch ends in failed" in broken.problem
    assert told(found, "reached", "cancelled") is not None


def test_what_leads_out_of_a_final_state() -> None:
    """The table is refused for that: only past its checks can such a machine be made."""
    edges = (*EDGES, Edge(Frame.FAILED, Event.START, P.FETCH))
    with pytest.raises(DefinitionError, match="is final but has an edge out of it"):
        small(edges=edges)

    broken = told(judge(unchecked(small(), edges=edges)), "final", "failed")

    assert ("start", "`start` leads out" in broken.problem) == (broken.event, True)


def test_guards_that_look_at_the_context_may_answer_either_way() -> None:
    edges = replaced(
        P.BUILD,
        Event.DONE,
        Edge(P.BUILD, Event.DONE, Frame.READY, (is_large,)),
        Edge(P.BUILD, Event.DONE, Frame.RELEASING),
    )
    found = judge(small(edges=edges))

    assert () == found.broken
    assert found.edges[0] == found.edges[1]
    explored = explore(small(edges=edges), FEW)
    assert any(
        "done [not is_large]" == str(move)
        for here in explored.situations.values()
        for move in here.moves
    )


def test_a_bound_is_said_and_nothing_is_concluded_from_what_was_not_seen() -> None:
    found = judge(small(), bound=10)

    assert not found.complete
    assert "the first 20 situations" in str(found)
    assert not {"reached", "dead"} & {broken.law for broken in found.broken}


async def warm_up(ctx: Any, run: Any) -> Any:
    return ctx


def extended() -> Definition:
    """The standard machine with two phases more, the first with hooks."""
    warm = load_machine("node_init").with_phase(
        Phase("warmup", warm_up), after="placement", hooks=("on_before_warmup",), name="warm"
    )
    return warm.with_phase(Phase("signup", warm_up), after="config", name="two_more")


@pytest.mark.parametrize("name", [*machines(), pytest.param("two_more", marks=pytest.mark.slow)])
def test_machines_that_keep_every_law(name: str) -> None:
    definition = extended() if name == "two_more" else load_machine(name)
    found = judge(definition)

    assert () == found.broken
    assert found.complete
    assert found.edges[0] == found.edges[1] == len(definition.singles())


def test_more_tries_are_more_of_the_same() -> None:
    more = judge(small(), Policy(default=PhasePolicy(attempts=3), replans=3))

    assert more.situations > judge(small()).situations
    assert () == more.broken == judge(small()).broken
