"""The kit finds what is wrong with a callback, says it briefly, and finds nothing where nothing is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from nodeinit import CallbackCtx, ConfigError
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.examples import custom_download, custom_placement, full_custom, metrics
from nodeinit.testing import (
    CallbackFailed,
    CheckReport,
    Profile,
    Scenario,
    check_callback,
    ensures,
    finally_,
)
from tests.testing import bugs, correct

RUNS = int(os.environ.get("NODEINIT_RUNS", "120"))
HOOK_DEADLINES = {full_custom.FullCustom: 660.0}  # as its own config says
FIRST = Profile("first 500", 4, 400, after_failure=20)


def report_of(callback: Any, profile: Any = FIRST, **options: Any) -> CheckReport:
    return check_callback(callback, profile=profile, on_fail="return", **options)


@pytest.mark.parametrize("bug", bugs.EXPECTED, ids=lambda bug: bug.__name__)
def test_a_bug_is_found_and_told_in_a_few_lines(bug: type) -> None:
    report = report_of(bug)

    found = {failure.check: failure for failure in report.failures}
    assert bugs.EXPECTED[bug] in found
    assert "failed" == report.checks[bugs.EXPECTED[bug]]
    assert report.sequences <= 500
    text = found[bugs.EXPECTED[bug]].text(report.callback)
    assert 25 >= len(text.splitlines())
    assert bug.__name__ in text
    # What it says to run again breaks the same law again.
    again = report_of(bug, scenarios=[found[bugs.EXPECTED[bug]].scenario])
    assert bugs.EXPECTED[bug] in {failure.check for failure in again.failures}


@pytest.mark.parametrize("callback", correct.ALL, ids=lambda kind: kind.__name__)
def test_no_fault_is_found_with_what_is_right(callback: type) -> None:
    report = report_of(callback, Profile("correct", 4, RUNS, again=10, cap=1e6), seed=RUNS)

    assert report.ok, report.text()


@pytest.mark.parametrize(
    ("callback", "worlds"),
    [
        (metrics.Metrics, 4),
        (custom_placement.Spread, 4),
        # These two through the default profile alone, which takes a minute each.
        pytest.param(custom_placement.OwnGroup, 4, marks=pytest.mark.slow),
        (custom_download.CustomDownload, 4),
        pytest.param(full_custom.FullCustom, 1, id="FullCustom", marks=pytest.mark.slow),
    ],
)
def test_the_examples_pass(callback: type, worlds: int, tmp_path: Path) -> None:
    kwargs = {}
    if callback is full_custom.FullCustom:
        kwargs = {"origin": str(make_tiny_model(tmp_path / "origin"))}
    options = {"kwargs": kwargs, "hook_deadline": HOOK_DEADLINES.get(callback)}
    report = report_of(callback, Profile("examples", worlds, RUNS), **options)

    assert report.ok, report.text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [
        metrics.Metrics,
        custom_placement.Spread,
        custom_placement.OwnGroup,
        custom_download.CustomDownload,
        full_custom.FullCustom,
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_examples_pass_the_default_profile(callback: type, tmp_path: Path) -> None:
    origin = {"origin": str(make_tiny_model(tmp_path / "origin"))}
    kwargs = origin if callback is full_custom.FullCustom else {}
    options = {"kwargs": kwargs, "hook_deadline": HOOK_DEADLINES.get(callback)}
    report = report_of(callback, "default", **options)

    assert report.ok, report.text()


def test_a_callback_that_does_nothing_reaches_every_state_and_edge() -> None:
    report = report_of(correct.Nothing, Profile("one world", 1, 900, explored=1, retries=1))

    assert (True, True) == (report.ok, report.complete), report.text()
    assert report.states[0] == report.states[1]
    assert report.edges[0] == report.edges[1]
    assert "passed" == report.checks["M5"]


def test_an_exploration_that_is_cut_short_says_so() -> None:
    profile = Profile("short", 1, 10, explored=1, retries=0, most=30)
    report = report_of(correct.Nothing, profile)

    assert (True, False) == (report.ok, report.complete)
    assert 10 <= report.sequences - 30 < 30
    assert "not complete: stopped with sequences left to run" in report.text()


def test_what_was_not_reached_is_inconclusive_and_said() -> None:
    report = report_of(correct.Nothing, scenarios=[Scenario()])

    assert (True, False) == (report.ok, report.complete)
    assert "inconclusive" == report.checks["M5"]
    assert "not reached: backoff" in report.text()


def test_a_time_cap_is_inconclusive() -> None:
    report = report_of(correct.Nothing, Profile("no time", 1, 1000, cap=-1.0))

    assert not report.complete
    assert "inconclusive" == report.checks["H1-return"]


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert report_of(bugs.Rolls).text() == report_of(bugs.Rolls).text()
    assert report_of(bugs.LeaksItsGroup).to_dict() == report_of(bugs.LeaksItsGroup).to_dict()


def test_a_failure_shrinks_to_what_is_needed() -> None:
    [failure] = report_of(bugs.RaisesOnTheSecondPlan).failures

    assert (2,) == failure.scenario.gpus
    assert 1 == len(failure.scenario.faults + failure.scenario.acts)
    assert "bugs.py:" in failure.line


def test_it_raises_an_assertion_with_the_report() -> None:
    with pytest.raises(CallbackFailed, match="H1-return") as raised:
        check_callback(bugs.ReturnsDict, scenarios=[Scenario()])
    assert isinstance(raised.value, AssertionError)
    assert "H1-return" == raised.value.report.failures[0].check


def test_what_is_expected_to_fail_is_excluded_with_a_reason() -> None:
    reasons = {"H1-return": "rewritten next week"}
    report = report_of(bugs.ReturnsDict, scenarios=[Scenario()], expected_failures=reasons)

    assert report.ok
    assert "excluded" == report.checks["H1-return"]


def test_what_is_expected_to_fail_and_does_not_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="H4-hang is expected to fail, but did not"):
        report_of(correct.Nothing, scenarios=[Scenario()], expected_failures={"H4-hang": "slow"})
    with pytest.raises(ConfigError, match="not the id of a check"):
        report_of(correct.Nothing, expected_failures={"H99": "?"})
    with pytest.raises(ConfigError, match="has no reason"):
        report_of(correct.Nothing, expected_failures={"H4-hang": ""})


def test_exceptions_may_be_allowed() -> None:
    options = {"scenarios": [Scenario((2, 2), 2, 2)], "allow_exceptions": (ValueError,)}
    assert report_of(bugs.RaisesOnAHost, **options).ok


def test_properties_of_the_authors_own() -> None:
    @ensures("on_before_download")
    def asks_for_pack(before: CallbackCtx, after: CallbackCtx) -> None:
        assert after.placement_group.strategy == "PACK", after.placement_group.strategy

    @finally_(state="ready")
    def has_the_seed(ctx: CallbackCtx) -> None:
        assert ctx.extra_init_kwargs["seed"] == 7

    report = report_of(
        correct.Asks, scenarios=[Scenario()], properties=[asks_for_pack, has_the_seed]
    )

    assert ["prop:asks_for_pack"] == [failure.check for failure in report.failures]
    assert "SPREAD" in report.failures[0].message
    assert "passed" == report.checks["prop:has_the_seed"]


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(ConfigError, match="give its class"):
        check_callback(correct.Nothing())
    with pytest.raises(ConfigError, match="is not known"):
        check_callback(correct.Nothing, profile="forever")
    with pytest.raises(ConfigError, match="no hook of this machine"):
        check_callback(dict)


def test_a_factory_and_a_path_are_callbacks_too() -> None:
    assert report_of(lambda: correct.Nothing(), scenarios=[Scenario()]).ok
    assert report_of("tests.testing.correct:Nothing", scenarios=[Scenario()]).ok


def test_what_the_loop_cannot_do_is_inconclusive_and_no_fault_of_the_hook() -> None:
    class Connects:
        async def on_before_init(self, ctx: CallbackCtx) -> None:
            await asyncio.open_connection("127.0.0.1", 9)

    report = report_of(Connects, scenarios=[Scenario()])

    assert (True, False) == (report.ok, report.complete)
    assert "inconclusive" == report.checks["H3-raised"]
    assert "wanted sockets" in report.text()
