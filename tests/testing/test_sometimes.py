"""`@sometimes`: what an author expects to be tried happens, or the check says that it never did."""

from __future__ import annotations

from typing import Any

import pytest

from nodeinit import CallbackCtx, ConfigError
from nodeinit.testing import (
    Act,
    CallbackFailed,
    Profile,
    Property,
    Scenario,
    check_callback,
    sometimes,
)
from nodeinit.testing.trace import Trace
from tests.testing import bugs, correct

FEW = Profile("few", 1, 60)
LOST = Scenario(acts=(Act(20.0, "kill", "a"),))


@sometimes("ready after a new plan")
def replanned(ctx: CallbackCtx, trace: Trace) -> bool:
    return ctx.attempt > 1 and "ready" in trace.states


@sometimes("Never at all!")
def never(ctx: CallbackCtx) -> bool:
    return ctx.attempt > 100


@sometimes("on host z")
def mistaken(ctx: CallbackCtx) -> bool:
    return bool(ctx.nodes["z"])


def check(*properties: Property, callback: Any = correct.Nothing, **options: Any) -> Any:
    options = {"profile": FEW, "on_fail": "return", **options}
    return check_callback(callback, properties=properties, **options)


def test_its_id_is_what_it_says() -> None:
    assert ["sometimes:ready-after-a-new-plan", "sometimes:never-at-all"] == [
        replanned.id,
        never.id,
    ]


def test_what_happens_once_is_enough() -> None:
    assert "passed" == check(replanned).checks[replanned.id]
    assert "passed" == check(replanned, scenarios=[Scenario(), LOST]).checks[replanned.id]


def test_what_never_happens_fails_and_is_told_without_a_scenario() -> None:
    with pytest.raises(CallbackFailed) as raised:
        check(never, replanned, on_fail="raise")
    report = raised.value.report

    assert ["failed", "passed"] == [report.checks[never.id], report.checks[replanned.id]]
    assert f"never in {report.sequences} sequences: Never at all!" in report.text()
    assert "world:" not in report.text()
    assert not report.complete


def test_a_predicate_that_raises_never_happens_and_says_why() -> None:
    assert "it raised KeyError: 'z'" in check(mistaken).text()


def test_an_assertion_is_an_answer_too() -> None:
    @sometimes("asserted")
    def asserted(ctx: CallbackCtx) -> bool:
        assert ctx.attempt == 1
        return True

    assert "passed" == check(asserted).checks[asserted.id]


@pytest.mark.parametrize(
    "options",
    [
        {"scenarios": [Scenario()]},
        {"profile": Profile("no time", 1, 60, cap=-1.0)},
        {"callback": bugs.ReturnsDict},
    ],
    ids=["few runs", "a time cap", "another failure"],
)
def test_who_was_cut_short_does_not_know(options: dict[str, Any]) -> None:
    report = check(never, **options)

    assert "inconclusive" == report.checks[never.id]
    assert never.id not in {failure.check for failure in report.failures}
    assert "never seen: Never at all!" in report.text()


def test_it_may_be_expected_never_to_happen() -> None:
    report = check(never, expected_failures={never.id: "it takes a hundred plans"})

    assert (True, "excluded", {never.id: "failed"}) == (
        report.ok,
        report.checks[never.id],
        report.expected,
    )
    with pytest.raises(ConfigError, match="not the id of a check"):
        check(never, expected_failures={"sometimes:x": "?"})
