"""Every sequence within bounds: it comes to an end, leaves nothing out, and the shortest comes first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from nodeinit import CallbackCtx
from nodeinit.testing import Act, Scenario, SimFault, explore
from nodeinit.testing.exploring import SMALL, Frontier
from nodeinit.testing.harness import Harness
from tests.testing import bugs, correct

ONE = Scenario((2,), 1, 1)


class RaisesOnTheThirdPlan:
    """Needs two hosts to be lost, one after the other, or two displacements."""

    def on_before_download(self, ctx: CallbackCtx) -> None:
        if ctx.attempt == 3:
            raise KeyError("never tested")


class Forgets:
    """Goes wrong when it is asked too often: what it remembers counts."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        self.log.append("before")
        if len(self.log) > 2:
            raise ValueError("too many")


class Opaque:
    """What it remembers cannot be compared with what another instance remembers."""

    def __init__(self) -> None:
        self.seen = iter([1, 2, 3])

    def on_before_init(self, ctx: CallbackCtx) -> None:
        next(self.seen, None)


def small(callback: Any, **how: Any) -> Any:
    return explore(callback, worlds=[ONE], **{"max_retries": 0, **how})


def test_it_comes_to_an_end_and_says_so() -> None:
    found = small(correct.Nothing)

    assert found.complete, found.text()
    assert found.ok
    assert found.states[0] >= 9
    assert "every sequence, of any length" in found.text()
    assert found.depth >= 4
    assert found.points == found.sequences - 1  # each was run once


def test_the_same_exploration_gives_the_same_bytes() -> None:
    assert (
        small(bugs.RaisesOnTheSecondPlan).to_dict() == small(bugs.RaisesOnTheSecondPlan).to_dict()
    )


@pytest.mark.parametrize("what", ["depth", "max_sequences"])
def test_what_is_cut_short_is_not_complete(what: str) -> None:
    found = small(correct.Nothing, **{what: 1 if what == "depth" else 40})

    assert not found.complete
    assert "not complete" in found.text()


def test_the_shortest_sequence_comes_first() -> None:
    found = explore(bugs.RaisesOnTheSecondPlan, worlds=[SMALL[1]], max_retries=0)
    broken = found.broken["H3-raised"]

    assert 1 == len(broken.acts) + len(broken.faults)


def test_what_needs_two_setbacks_is_found_with_two() -> None:
    world = Scenario((1, 1, 1), 1, 1)
    found = explore(RaisesOnTheThirdPlan, worlds=[world], max_sequences=700)
    broken = found.broken["H3-raised"]

    assert 2 == len(broken.acts) + len(broken.faults), broken


@pytest.mark.parametrize(
    ("callback", "world"),
    [(bugs.RaisesOnTheSecondPlan, ONE), (Forgets, Scenario((1, 1, 1), 1, 1))],
)
def test_nothing_is_left_out_that_two_events_can_do(callback: type, world: Scenario) -> None:
    """Beside it, pairs of events that are listed by hand: no edge more, no broken law more."""
    found = explore(callback, worlds=[world], max_retries=2, depth=2)
    taken: set[Any] = set()
    broken: set[str] = set()
    with Harness(callback) as harness:
        for scenario in by_hand(harness.run(world)):
            trace = harness.run(scenario)
            taken.update(trace.taken)
            broken |= {breach.check for breach in trace.breaches}

    assert {"H3-raised"} == broken == set(found.broken)
    assert taken <= set(found.visits)
    assert {"config", "download", "placement"} <= {a for a, event, _ in taken if event == "errored"}


def by_hand(plain: Any) -> Iterator[Scenario]:
    """Every call fails; somebody cancels, or a host dies, after every step; and pairs of these."""
    world = plain.scenario
    events: list[tuple[str, Any]] = [
        ("faults", SimFault(op, kind, call))
        for op, calls in sorted(plain.cluster.calls.items())
        for call in range(calls)
        for kind in ("temporary", "permanent")
    ]
    times = sorted({round(step.at + 0.001, 6) for step in plain.driver.steps if step.edge})
    events += [("acts", Act(at, "cancel")) for at in times]
    lost = [Act(at, "kill", node_id) for at in (*times, 40.0) for node_id in world.node_ids[:2]]
    events += [("acts", act) for act in lost]
    for kind, one in events:
        yield attrs.evolve(world, **{kind: (one,)})
    for (kind, one), (other, two) in itertools.combinations(events, 2):
        several = {kind: (one, two)} if kind == other else {kind: (one,), other: (two,)}
        yield attrs.evolve(world, **several)


def test_state_on_an_instance_tells_points_apart() -> None:
    class Counts:
        def __init__(self) -> None:
            self.calls = 0

        def on_before_download(self, ctx: CallbackCtx) -> None:
            self.calls += 1

    assert small(Counts).points > small(correct.Nothing).points
    assert not small(Counts).notes


def test_what_cannot_be_compared_is_said() -> None:
    found = small(Opaque)

    assert "not provable" in found.text()
    assert "seen" in found.text()


def test_a_cancel_may_come_before_the_first_step() -> None:
    world = attrs.evolve(ONE, acts=())
    with Harness(correct.Nothing) as harness:
        frontier = Frontier([world], retries=0)
        first, recorder = frontier.take(), frontier.recorder()
        harness.run(first, recorder=recorder)
        assert (0.0, 0) == (recorder.points[0].at, recorder.points[0].rounds)
        frontier.grow(first, recorder)
        trace = harness.run(frontier.take())

    assert "cancelled" == trace.end.state
    assert "config" not in trace.states
