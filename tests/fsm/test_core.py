"""The pure core, against an independent interpreter of the same table and as a stock machine."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transitions import Machine, MachineError
from transitions.extensions import GraphMachine
from transitions.extensions.markup import MarkupMachine

from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import BOOKKEEPING, FINALS, Event, Frame, Held, Occurred, Reason
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.snapshot import Do, Snapshot, Stop, Undo, Wait
from nodeinit.fsm.stock import StockModel
from tests.fsm.small import SMALL, Ctx, P

REASONS = st.builds(
    Reason,
    code=st.sampled_from(["error", "hook"]),
    message=st.sampled_from(["a", "b"]),
    temporary=st.booleans(),
    delay=st.none() | st.floats(0, 100),
)


@st.composite
def occurrences(draw: st.DrawFn) -> Occurred:
    """Any event that the small machine knows, from the right visit, a wrong one, or nowhere."""
    event = draw(st.sampled_from([e for e in Event if e not in BOOKKEEPING]))
    reason = None
    if event in (Event.ERRORED, Event.ELAPSED, Event.LOST, Event.DISPLACED):
        reason = draw(REASONS)
    stale = draw(st.booleans()) and draw(st.booleans())
    ctx = Ctx(draw(st.integers(0, 9))) if event in (Event.DONE, Event.DISPLACED) else None
    return Occurred(event, "fetch" if stale else None, 1 if stale else None, ctx, reason)


def interpret(definition: Definition, policy: Policy, snapshot: Snapshot, o: Occurred) -> str:
    """Thirty lines that read the table as it stands: the state that an event leads to."""
    if o.phase is not None:
        visit = dict(snapshot.visits).get(snapshot.state, 0)
        if o.phase != snapshot.state or (o.attempt is not None and o.attempt != visit):
            return snapshot.state
    for edge in definition.edges:
        if snapshot.state in edge.sources and o.event in edge.events:
            if all(guard.check(snapshot, o, policy) is None for guard in edge.guards):
                return str(edge.target)
    return snapshot.state


@given(st.lists(occurrences(), max_size=40), st.integers(1, 3), st.integers(0, 2), st.booleans())
def test_the_core_takes_the_steps_of_the_table(
    events: list[Occurred], attempts: int, replans: int, heal: bool
) -> None:
    policy = Policy(replans=replans, heal=heal).with_phases(fetch={"attempts": attempts})
    core = Core(SMALL, policy)
    snapshot = core.initial(Ctx())
    for occurred in events:
        step = core.step(snapshot, occurred)

        assert interpret(SMALL, policy, snapshot, occurred) == step.after.state
        assert step == core.step(snapshot, occurred), "the core is pure"
        if not step.accepted:
            assert (snapshot, ()) == (step.after, step.effects)
            assert step.refused
        if snapshot.state in FINALS:
            assert not step.accepted, "final states absorb everything"
        _effects_fit(step.effects, snapshot, step.after)
        snapshot = step.after


def _effects_fit(effects: tuple[object, ...], before: Snapshot, after: Snapshot) -> None:
    if before.state == after.state:
        return
    working = {P.FETCH, P.BUILD, Frame.READY}
    assert (Stop(before.state) in effects) == (before.state in {*working, Frame.BACKOFF})
    does = [e for e in effects if isinstance(e, Do)]
    assert [Do(after.state, after.visit)] * (after.state in working) == does
    assert (after.state == Frame.BACKOFF) == any(isinstance(e, Wait) for e in effects)
    assert (after.state == Frame.RELEASING) == any(
        isinstance(e, Undo) and e.then_report for e in effects
    )


@given(st.lists(occurrences(), max_size=40), st.integers(1, 3))
def test_the_stock_machine_takes_the_same_steps(events: list[Occurred], attempts: int) -> None:
    policy = Policy().with_phases(fetch={"attempts": attempts})
    core = Core(SMALL, policy)
    snapshot = core.initial(Ctx())
    model = StockModel(SMALL, policy, Ctx())
    SMALL.machine(Machine, model)
    for occurred in events:
        step = core.step(snapshot, occurred)
        try:
            moved = model.trigger(str(occurred.event), occurred=occurred)  # type: ignore[attr-defined]
        except MachineError:
            moved = False
        snapshot = step.after

        assert (snapshot.state, step.accepted) == (model.state, moved)
        assert snapshot == model.snapshot


@pytest.mark.parametrize("definition", [SMALL, load_machine("node_init")], ids=lambda d: d.name)
def test_the_stock_machine_draws_and_exports(definition: Definition) -> None:
    graph = definition.machine(GraphMachine, graph_engine="mermaid", show_conditions=True)
    markup = definition.machine(MarkupMachine).markup

    source = graph.get_combined_graph().source
    for state in definition.states:
        assert state in source
    assert set(definition.states) == {state["name"] for state in markup["states"]}
    assert len(definition.singles()) == len(markup["transitions"])
    guards = {c for t in markup["transitions"] for c in t.get("conditions", [])}
    assert {guard.name for edge in definition.edges for guard in edge.guards} == guards


def test_a_refusal_says_why() -> None:
    core = Core(SMALL, Policy(replans=0))
    start = core.step(core.initial(Ctx()), Occurred(Event.START)).after
    build = core.step(start, Occurred(Event.DONE, "fetch", 1, Ctx(1))).after

    stale = core.step(build, Occurred(Event.DONE, "fetch", 1, Ctx(1)))
    unknown = core.step(build, Occurred(Event.RELEASE))
    displaced = core.step(build, Occurred(Event.DISPLACED, "build", 1, Ctx(2)))

    assert "stale: from fetch, but the machine is in build" == stale.refused
    assert "build has no edge for it" == unknown.refused
    assert ("releasing", "all 0 new plans are used up") == (
        displaced.after.state,
        displaced.refusals[0].why,
    )


def test_going_back_gives_back_what_later_phases_hold() -> None:
    core = Core(SMALL, Policy())
    snapshot = core.initial(Ctx())
    for occurred in (Occurred(Event.START), Occurred(Event.DONE, "fetch", 1, Ctx(1))):
        snapshot = core.step(snapshot, occurred).after
    for event, phase, name in (
        (Event.ACQUIRING, "build", "x"),
        (Event.ACQUIRED, "build", "x"),
        (Event.ACQUIRING, "build", "y"),
    ):
        snapshot = core.step(snapshot, Occurred(event, held=Held("thing", name, phase, 1))).after
    early = attrs.evolve(snapshot.held[0], name="z", phase="fetch")
    snapshot = attrs.evolve(snapshot, held=(early, *snapshot.held))
    failed = Occurred(Event.ERRORED, "build", 1, reason=Reason("error", "x", temporary=True))

    step = core.step(snapshot, failed)

    undo = next(e for e in step.effects if isinstance(e, Undo))
    assert ["y", "x"] == [held.name for held in undo.held]
    assert [Stop, Undo, Wait] == [type(e) for e in step.effects]


def test_backoff_is_exponential_bounded_and_seeded() -> None:
    policy = Policy(seed=3)
    waits = [policy.backoff("fetch", n, n, None) for n in range(1, 12)]

    assert waits == [policy.backoff("fetch", n, n, None) for n in range(1, 12)]
    assert waits != [Policy(seed=4).backoff("fetch", n, n, None) for n in range(1, 12)]
    full = [min(60.0, 2.0 ** (n - 1)) for n in range(1, 12)]
    assert all(0.75 * top <= wait <= top for wait, top in zip(waits, full, strict=True))
    assert 100.0 == policy.backoff("fetch", 1, 1, 100.0)
