"""Scenarios as values: printed, stored, read back, drawn, and made smaller."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings

from nodeinit import ConfigError
from nodeinit.clusters.simulated import SimFault
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import PlacementPlan
from nodeinit.testing import Act, Other, Scenario
from nodeinit.testing.generate import build, chance
from nodeinit.testing.shrink import shrink
from nodeinit.testing.strategies import scenarios

SOME = list(itertools.islice(chance(1), 400))


@settings(max_examples=100, deadline=None)
@given(scenarios())
def test_what_is_written_is_read_back(scenario: Scenario) -> None:
    names = {"Scenario": Scenario, "Act": Act, "Other": Other, "SimFault": SimFault}

    assert scenario == Scenario.from_json(scenario.to_json())
    assert scenario == eval(scenario.to_python(), names)
    assert hash(scenario) == hash(Scenario.from_json(scenario.to_json()))


@pytest.mark.parametrize("text", ["", "[]", '{"gpu": [1]}', '{"gpus": []}', '{"tp": 0}', "{"])
def test_what_is_no_scenario_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no scenario"):
        Scenario.from_json(text)


def test_chance_is_the_same_for_the_same_seed() -> None:
    again = random.Random(1)
    assert SOME == [build(again.choice) for _ in SOME]


def test_most_worlds_have_room() -> None:
    def fits(scenario: Scenario) -> bool:
        request = PlacementRequest.of(scenario.tp, scenario.pp)
        return isinstance(plan(request, scenario.cluster().now()), PlacementPlan)

    assert sum(map(fits, SOME)) > 0.7 * len(SOME)
    assert not all(map(fits, SOME))


@pytest.mark.parametrize("what", ["kill", "cancel", "steal"])
def test_shrinking_leaves_what_is_needed(what: str) -> None:
    def fails(scenario: Scenario) -> bool:
        return any(act.what == what for act in scenario.acts)

    for scenario in filter(fails, SOME):
        smaller = shrink(scenario, fails)
        assert fails(smaller)
        assert (1, 0, 0) == (len(smaller.acts), len(smaller.faults), len(smaller.others))
        assert len(smaller.gpus) <= len(scenario.gpus)
