"""Every sequence within bounds: it comes to an end, leaves nothing out, and the shortest comes first."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import pytest

from nodeinit import CallbackCtx
from nodeinit.testing import Scenario, explore
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

    def on_before_init(self, ctx: CallbackCtx) -> None:
        self.log.append("before")
        if len(self.log) > 3:
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


def test_pruning_leaves_out_nothing_that_two_events_can_do() -> None:
    """Beside it, every pair without pruning: the same edges are taken, the same laws broken."""
    for callback in (bugs.RaisesOnTheSecondPlan, Forgets):
        pruned = small(callback, depth=2)
        taken: set[Any] = set()
        broken: set[str] = set()
        with Harness(callback) as harness:
            for scenario in everything(harness, ONE, depth=2, most=250):
                trace = harness.run(scenario)
                taken.update(trace.taken)
                broken |= {breach.check for breach in trace.breaches}
        assert taken <= set(pruned.visits), callback
        assert broken == set(pruned.broken), callback


def everything(harness: Harness, world: Scenario, *, depth: int, most: int) -> Any:
    """Sequences of so many events, in breadth, nothing left out but for the number."""

    class Unpruned(Frontier):
        def grow(self, scenario: Scenario, recorder: Any) -> None:
            self._tried.clear()
            recorder.points = [
                attrs.evolve(point, like=(point.like, i)) for i, point in enumerate(recorder.points)
            ]
            super().grow(scenario, recorder)

    frontier = Unpruned([world], retries=0, depth=depth)
    for _ in itertools.islice(itertools.count(), most):
        if not frontier:
            return
        scenario, recorder = frontier.take(), frontier.recorder()
        harness.run(scenario, recorder=recorder)
        frontier.grow(scenario, recorder)
        yield scenario


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
