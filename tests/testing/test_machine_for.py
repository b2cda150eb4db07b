"""`machine_for`: Hypothesis drives the real machine, finds what is wrong, and shrinks it."""

from __future__ import annotations

import re
import unittest
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from nodeinit import CallbackCtx, ConfigError
from nodeinit.testing import Scenario, ensures, machine_for, run_scenario
from nodeinit.testing.scenario_line import read_scenario
from tests.testing import bugs, correct


def run(machine: Any, runs: int = 30, **more: Any) -> None:
    """As `machine.TestCase` does under pytest, without a database."""
    more = {"database": None, "derandomize": True, **more}
    chosen = settings(machine.TestCase.settings, max_examples=runs, **more)
    run_state_machine_as_test(machine, settings=chosen)


def scenario_of(report: str) -> Scenario:
    """The scenario that a report says to run again."""
    found = re.search(r"--scenario '?(.*?)'?$", report, re.MULTILINE)
    assert found is not None, report
    return read_scenario(found[1])


@pytest.mark.parametrize("callback", [correct.Nothing, correct.Asks, correct.Patient])
def test_what_is_right_passes(callback: type) -> None:
    run(machine_for(callback), runs=8)


def test_a_bug_is_found_and_shrinks_to_what_is_needed() -> None:
    class Forgets:
        """Cannot be asked twice: what a host that is lost leads to, and little else."""

        asked = False

        def on_before_download(self, ctx: CallbackCtx) -> None:
            if self.asked:
                raise KeyError("asked already")
            self.asked = True

    with pytest.raises(AssertionError, match=r"Forgets breaks\s+H3-raised") as raised:
        run(machine_for(Forgets), runs=100)
    scenario = scenario_of(str(raised.value))

    assert "Breaks H3-raised" == type(raised.value).__name__
    assert 1 >= len(scenario.acts + scenario.faults + scenario.others)
    assert "test_machine_for.py:" in str(raised.value)
    again = run_scenario(Forgets, scenario, may_break=True)
    assert {"H3-raised"} == {breach.check for breach in again.breaches}


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (bugs.ReturnsDict, "H1-return"),
        (bugs.AddsOnceMore, "H8-idempotent"),
        (bugs.Rolls, "H10-det"),
    ],
)
def test_bugs_of_other_kinds_are_found_too(bug: type, check: str) -> None:
    with pytest.raises(AssertionError, match=rf"{bug.__name__} breaks\s+{check}"):
        run(machine_for(bug), runs=25, phases=[Phase.generate])


def test_properties_and_arguments_of_the_authors_own() -> None:
    class Makes:
        def __init__(self, seed: int) -> None:
            self.seed = seed

        def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
            return ctx.evolve(extra_init_kwargs={"seed": self.seed})

    @ensures("on_after_init")
    def is_seven(before: CallbackCtx, after: CallbackCtx) -> None:
        assert after.extra_init_kwargs["seed"] == 7

    run(machine_for(Makes, kwargs={"seed": 7}, properties=[is_seven]), runs=5)
    with pytest.raises(AssertionError, match=r"prop:is_seven(.|\n)*--kwargs '{\"seed\": 8}'"):
        run(machine_for(Makes, kwargs={"seed": 8}, properties=[is_seven]), runs=20)
    with pytest.raises(ConfigError, match="missing a required argument"):
        machine_for(Makes)


def test_a_machine_to_build_on() -> None:
    states: set[str] = set()

    class Mine(machine_for(correct.Nothing)):  # type: ignore[misc]
        @rule()
        def host_a_dies_when_ready(self) -> None:
            self.step("kill", 0, 0)

        @invariant()
        def ends(self) -> None:
            if hasattr(self, "trace"):
                states.update(self.trace.states)
                assert self.trace.end.state in ("released", "failed", "cancelled")

    run(Mine, runs=8)
    assert {"ready", "releasing", "failed"} <= states


def test_it_is_a_test_case_with_settings_of_its_own() -> None:
    machine = machine_for(correct.Nothing)

    assert issubclass(machine.TestCase, unittest.TestCase)
    assert "NothingMachine" == machine.__name__
    assert machine.TestCase.settings.deadline is None
    assert machine.TestCase is not machine_for(correct.Nothing).TestCase
