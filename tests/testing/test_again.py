"""Laws that compare runs: what must not matter does not, and where it does it is said."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from nodeinit import CallbackCtx
from nodeinit.testing import Scenario, check_callback
from nodeinit.testing.again import COMPARING, compared
from nodeinit.testing.harness import Harness
from tests.node.test_mutants import LosesUpdates
from tests.testing import correct

TWO = Scenario((2, 2), 2, 2)


class LooksWhoCalls:
    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        depth = len(inspect.stack(0))  # with sources, it looks through every module there is
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("depth", depth))


class Writes:
    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("mine", 1))

    def on_before_download(self, ctx: CallbackCtx) -> None: ...


def found(callback: Any, scenario: Scenario, only: str | None = None, **engine: Any) -> set[str]:
    with Harness(callback) as harness:
        harness.engine = engine
        trace = harness.run(scenario)
        return {breach.check for breach in compared(harness, scenario, trace, only)}


def test_a_hook_that_looks_at_its_caller_does_not_do_the_same_in_the_other_colour() -> None:
    report = check_callback(LooksWhoCalls, scenarios=[TWO], on_fail="return")

    assert "H9-twin" in {failure.check for failure in report.failures}


def test_an_engine_that_loses_updates_is_seen_beside_callbacks_that_do_nothing() -> None:
    assert {"H11-commutes"} == found(Writes, TWO, "H11-commutes", driver_cls=LosesUpdates)
    assert set() == found(Writes, TWO)


@pytest.mark.parametrize("callback", correct.ALL, ids=lambda kind: kind.__name__)
def test_what_is_right_is_the_same_again(callback: type) -> None:
    assert set() == found(callback, TWO)
    assert set() == found(callback, Scenario((1, 1, 1), 1, 3))


def test_each_law_can_be_asked_for_alone() -> None:
    for check in COMPARING:
        assert found(LooksWhoCalls, TWO, check) <= {check}
