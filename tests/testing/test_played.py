"""How scenarios end in memory, as they were seen to end on a real Ray (`test_real_ray.py`)."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from ray._common.filters import CoreContextFilter

from nodeinit.callbacks import CallbackSpec
from nodeinit.cli.played import Played
from nodeinit.testing.differential import Comparison, simulate
from nodeinit.testing.play import Cue, Ending
from nodeinit.testing.played import SCENARIOS, some
from nodeinit.testing.scenario import Act, Other, Scenario
from tests.testing import real_callbacks as callbacks

PAIR = (2, 2)
BOTH = (Act(0.0, "kill", "a"), Act(0.0, "kill", "b"))


def ending(scenario: Scenario, callback: type, **kwargs: Any) -> Ending:
    return simulate(scenario, CallbackSpec(callback, kwargs))[1]


@pytest.mark.parametrize(
    ("scenario", "callback", "kwargs", "found"),
    [
        # A host that is asked for files and dead says nothing: only when Ray sees that it is dead
        # does the fetch fail, and by then a new plan avoids it.
        (
            Scenario(PAIR, 2, 2, heal=False, acts=(Act(7.05, "kill", "b"),)),
            callbacks.Asks,
            {"strategy": "SPREAD"},
            Ending("failed", "infeasible"),
        ),
        (
            Scenario(PAIR, 2, 1, acts=(Act(3.0, "kill", "a"),)),
            callbacks.Fails,
            {},
            Ending("failed", "hook"),
        ),
        (Scenario(PAIR, 2, 1, acts=BOTH), callbacks.Fails, {}, Ending("failed", "infeasible")),
        # A group of somebody's own that lost its hosts is waited for: Ray may place it anew.
        (
            Scenario(PAIR, 2, 1, acts=BOTH),
            callbacks.HandsOverAtOnce,
            {"strategy": "PACK"},
            Ending("failed", "deadline"),
        ),
        (
            Scenario(PAIR, 2, 1, acts=(Act(20.0, "kill", "a"),)),
            callbacks.OwnGroup,
            {},
            Ending("ready"),
        ),
        # Ray spreads what had better stay together; whoever hands that over is refused.
        (
            Scenario(PAIR, 2, 1, others=(Other("on_before_placement", "temporary"),)),
            callbacks.OwnGroup,
            {"strategy": "SPREAD"},
            Ending("failed", "error"),
        ),
        # Removed in the moment in which it is made: most of the time nothing leaks.
        (
            Scenario(PAIR, 2, 1, acts=(Act(0.0, "cancel"),)),
            callbacks.HandsOverAtOnce,
            {},
            Ending("cancelled", "cancelled"),
        ),
    ],
)
def test_it_ends_as_on_ray(
    scenario: Scenario, callback: type, kwargs: dict[str, Any], found: Ending
) -> None:
    assert ending(scenario, callback, **kwargs) == found


def test_acts_happen_when_a_state_is_entered() -> None:
    acts = (Act(3.0, "steal", "a"), Act(20.0, "kill", "b"), Act(20.1, "cancel"))
    cues, found = simulate(Scenario(PAIR, 2, 1, acts=acts), CallbackSpec(callbacks.Nothing))

    assert cues[0] == Cue("download", 1, acts[0])
    assert {cue.state for cue in cues} == {"download", "ready"}
    assert found.outcome == "cancelled"


def test_all_of_them_come_to_an_end_and_the_same_one_each_time() -> None:
    found = {scenario: ending(scenario, callbacks.Nothing) for scenario in SCENARIOS}

    assert len(found) == 60
    assert {each.outcome for each in found.values()} == {"ready", "failed", "cancelled"}
    assert {each.reason for each in found.values()} >= {"infeasible", "error", "hook", "lost"}
    # What cannot be given back is said; nothing else is broken.
    broken = [each.broken for each in found.values() if each.broken]
    assert broken == [("cleanup", "given_back")]
    assert {s: ending(s, callbacks.Nothing) for s in some(12)}.items() <= found.items()


def test_some_of_them_are_of_all_kinds() -> None:
    assert [len(some(count)) for count in (0, 1, 12, 60, 99)] == [1, 1, 12, 60, 60]
    assert len({scenario.gpus for scenario in some(12)}) > 1


def test_what_differs_is_told() -> None:
    same = Comparison(Scenario(PAIR), "Mine", Ending("ready", why="x"), Ending("ready", why="y"))
    other = Comparison(Scenario(PAIR), "Mine", Ending("ready"), Ending("failed", "hook", why="no"))

    assert same.agree and str(same) == "ready: Scenario(gpus=(2, 2))"
    assert not other.agree
    assert "Scenario(gpus=(2, 2)) with Mine" in str(other)
    assert "failed (hook): no" in str(other)
    assert (
        Played((same,)).text() == "on a real Ray: 1 scenarios, which all ended as they do in memory"
    )
    assert "1 of 2 scenarios end otherwise" in Played((same, other)).text()
    [told] = Played((same, other)).to_dict()["real_ray"]["differ"]
    assert (told["scenario"], told["real"]) == ({"gpus": [2, 2]}, "failed (hook)")


def test_rays_own_log_filter_is_not_told_that_there_is_a_ray() -> None:
    """It is on the root logger once `ray.serve.llm` was imported, and asks a Ray that is not there."""
    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(CoreContextFilter())
    before = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)
    try:
        assert Ending("ready") == ending(Scenario(PAIR, 2, 1), callbacks.OwnGroup)
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(before)
