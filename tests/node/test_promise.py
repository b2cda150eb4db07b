"""The promise, held against random scenarios: the real core and driver over a simulated cluster.

`NODEINIT_RUNS=100000 pytest tests/node/test_promise.py` does at least as many whole runs as it
says: three quarters of them at random, the others by Hypothesis, which is slower but shrinks.
"""

from __future__ import annotations

import collections
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from nodeinit.fsm.events import FINALS, Frame
from nodeinit.fsm.replay import replay
from nodeinit.testing.virtual_time import VirtualLoop
from tests.node.promise import NODE_INIT, Act, Scenario, SimFault, run
from tests.node.scenarios import corpus, scenarios

RUNS = int(os.environ.get("NODEINIT_RUNS", "2000"))
LOOP = VirtualLoop()

promise = settings(
    max_examples=RUNS // 3,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@promise
@given(scenarios())
def test_the_promise_holds_for_every_scenario(scenario: Scenario) -> None:
    LOOP.reset()
    outcome = run(scenario, loop=LOOP)
    event(outcome.end.state)

    assert [] == outcome.broken
    assert outcome.end.state in FINALS


@settings(promise, max_examples=max(100, RUNS // 20))
@given(scenarios())
def test_every_journal_replays_to_the_same_end(tmp_path: Path, scenario: Scenario) -> None:
    where = tmp_path / "run.jsonl"
    where.unlink(missing_ok=True)
    outcome = run(scenario, journal=where)
    codec = NODE_INIT.codec
    assert codec is not None

    again = replay(where, NODE_INIT)

    assert [] == outcome.broken
    assert ((), False) == (again.drift, again.torn)
    assert again.snapshot is not None
    assert codec.dump(outcome.end.ctx) == codec.dump(again.snapshot.ctx)
    for mine, theirs in zip(outcome.driver.steps, again.steps, strict=True):
        assert (mine.after.state, mine.after.held, mine.after.reason, mine.effects) == (
            theirs.after.state,
            theirs.after.held,
            theirs.after.reason,
            theirs.effects,
        )


TEMPORARY = st.builds(
    SimFault,
    op=st.sampled_from(["snapshot", "manifest", "fetch", "reserve", "stop_fetch", "remove"]),
    kind=st.sampled_from(["temporary", "slow"]),
    call=st.integers(0, 3),
)


@settings(promise, max_examples=max(100, RUNS // 10))
@given(st.lists(TEMPORARY, max_size=2), st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 2)]))
def test_what_can_pass_does_pass(faults: list[SimFault], size: tuple[int, int]) -> None:
    """Liveness: with room, and few setbacks that pass by themselves, the node gets ready."""
    scenario = Scenario(
        (8, 8), *size, hooks=(("on_before_download", "data"),), faults=tuple(faults)
    )
    outcome = run(scenario)

    assert [] == outcome.broken
    assert Frame.READY in outcome.states
    assert Frame.RELEASED == outcome.end.state


@pytest.mark.parametrize(
    "at", [round(0.005 * n, 3) for n in range(40)] + [1, 3, 7, 7.03, 7.06, 7.5]
)
def test_cancel_at_every_moment(at: float) -> None:
    outcome = run(Scenario(acts=(Act(at, "cancel"),)))

    assert [] == outcome.broken
    assert Frame.CANCELLED == outcome.end.state
    if at == 0.0:
        assert ("idle", "cancel", "releasing") in outcome.edges


@pytest.mark.parametrize(
    "hook", ["on_before_init", "on_before_download", "on_before_placement", "on_after_init"]
)
@pytest.mark.parametrize(
    "behaviour", ["raise", "garbage", "forbidden", "config", "mutate", "hang", "exit"]
)
@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_broken_hook_fails_the_node_and_leaves_nothing(
    hook: str, behaviour: str, asynchronous: bool
) -> None:
    if behaviour == "hang" and not asynchronous:
        asynchronous = True
    outcome = run(Scenario(hooks=((hook, behaviour),), asynchronous=asynchronous))

    assert [] == outcome.broken
    assert (Frame.FAILED, "hook") == (outcome.end.state, outcome.end.reason.code)  # type: ignore[union-attr]
    assert f"Behaving.{hook}" in outcome.end.reason.message  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("op", "phase"), [("manifest", "config"), ("fetch", "download"), ("reserve", "placement")]
)
def test_whatever_hangs_again_and_again_ends_at_its_deadlines(op: str, phase: str) -> None:
    faults = tuple(SimFault(op, "hang", call) for call in range(9))
    outcome = run(Scenario(faults=faults))

    assert [] == outcome.broken
    assert (Frame.FAILED, "deadline") == (outcome.end.state, outcome.end.reason.code)  # type: ignore[union-attr]
    assert {(phase, "elapsed", "backoff"), (phase, "elapsed", "releasing")} <= outcome.edges


def test_capacity_that_is_stolen_every_time_is_given_up() -> None:
    faults = tuple(SimFault("reserve", "steal", call, "abcd"[call]) for call in range(4))
    outcome = run(Scenario((2, 2, 2, 2), 2, 1, faults=faults))

    assert [] == outcome.broken
    assert ("placement", "displaced", "releasing") in outcome.edges
    assert (Frame.FAILED, "displaced") == (outcome.end.state, outcome.end.reason.code)  # type: ignore[union-attr]


def test_a_hook_that_fails_while_a_lost_node_heals_ends_it() -> None:
    hooks = (("on_before_download", "later"),)
    outcome = run(Scenario((2, 2), 2, 1, hooks=hooks, acts=(Act(20.0, "kill", "a"),)))

    assert [] == outcome.broken
    assert ("ready", "errored", "releasing") in outcome.edges


def test_a_stolen_host_leads_to_another_plan() -> None:
    faults = (SimFault("reserve", "steal", 0, "a"),)
    outcome = run(Scenario((2, 2), 2, 1, faults=faults))

    assert [] == outcome.broken
    assert ["config", "download", "placement", "download", "placement", "ready"] == outcome.states[
        :6
    ]
    assert 2 == outcome.driver.steps[-3].after.ctx.attempt or 1 == outcome.end.replans


def test_a_host_that_dies_during_the_download_leads_to_another_plan() -> None:
    outcome = run(Scenario((2, 2), 2, 1, acts=(Act(2.0, "kill", "a"),)))

    assert [] == outcome.broken
    assert Frame.READY in outcome.states
    assert ("b",) == outcome.end.ctx.placement.hosts


def test_a_host_that_dies_under_a_ready_node_is_healed() -> None:
    outcome = run(Scenario((2, 2), 2, 1, acts=(Act(20.0, "kill", "a"),)))

    assert [] == outcome.broken
    assert 2 == outcome.states.count(Frame.READY)


def test_a_request_that_can_never_fit_fails_at_once_and_says_why() -> None:
    outcome = run(Scenario((4, 4), 4, 1, hooks=(("on_before_init", "impossible"),)))

    assert [] == outcome.broken
    assert (Frame.FAILED, "infeasible") == (outcome.end.state, outcome.end.reason.code)  # type: ignore[union-attr]
    assert ["config", "releasing", "failed"] == outcome.states
    assert 64 == int("".join(c for c in outcome.end.reason.message if c.isdigit())[:2])  # type: ignore[union-attr]
    assert "manifest" not in outcome.cluster.calls, "no byte of the model was read"


def test_an_adopted_group_is_verified_and_never_removed() -> None:
    outcome = run(Scenario((4, 4), 2, 2, hooks=(("on_before_init", "adopt"),)))

    assert [] == outcome.broken
    assert Frame.READY in outcome.states
    assert "reserve" not in outcome.cluster.calls
    assert outcome.end.ctx.placement.adopted


def test_a_wrong_group_is_refused_with_the_rule_it_breaks() -> None:
    outcome = run(Scenario((4, 4), 2, 2, hooks=(("on_before_placement", "adopt_wrong"),)))

    assert [] == outcome.broken
    assert (Frame.FAILED, "error") == (outcome.end.state, outcome.end.reason.code)  # type: ignore[union-attr]
    assert "placement group users-1" in outcome.end.reason.message  # type: ignore[union-attr]


def test_the_promise_holds_at_random_and_no_state_or_edge_is_left_out() -> None:
    states: collections.Counter[str] = collections.Counter()
    edges = set()
    runs = RUNS * 3 // 4
    for scenario in corpus(runs):
        LOOP.reset()
        outcome = run(scenario, loop=LOOP)
        assert [] == outcome.broken, scenario
        states.update({*outcome.states})
        edges |= outcome.edges

    assert states["ready"] > runs // 3
    assert set(NODE_INIT.states) - {"idle"} == set(states)
    all_edges = {(e.sources[0], e.events[0], e.target) for e in NODE_INIT.singles()}
    assert RARE >= all_edges - edges


# Edges that chance seldom finds; each has a test of its own, above.
RARE = {
    ("idle", "cancel", "releasing"),
    ("backoff", "errored", "releasing"),
    ("config", "elapsed", "backoff"),
    ("config", "elapsed", "releasing"),
    ("download", "elapsed", "releasing"),
    ("placement", "elapsed", "releasing"),
    ("placement", "displaced", "releasing"),
    ("ready", "errored", "releasing"),
}
