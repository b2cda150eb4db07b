"""A callback for a machine of a user's own is explored by the same laws, its phase and hooks too."""

from __future__ import annotations

import pytest

from nodeinit import ConfigError
from nodeinit.testing import CheckReport, Profile, check_callback
from tests.fsm.small import SMALL
from tests.testing import correct, own_machine
from tests.testing.own_machine import WARM

PATH = "tests.testing.own_machine:WARM"
SOME = Profile("some", 1, 700)
ALL = Profile("all", 1, 1_300, explored=1, retries=1)


def report_of(callback: type, profile: Profile = SOME, machine: object = WARM) -> CheckReport:
    return check_callback(callback, machine=machine, profile=profile, on_fail="return")


def test_every_state_and_edge_of_it_is_reached() -> None:
    report = report_of(own_machine.Careful)

    assert report.ok, report.text()
    assert (11, 11) == report.states
    assert len(WARM.singles()) == report.edges[0] == report.edges[1] == len(report.visits)
    assert min(report.visits.values()) > 0
    assert report.visits["warmup", "elapsed", "backoff"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("callback", [own_machine.Careful, correct.Nothing])
def test_no_fault_is_found_with_what_is_right(callback: type) -> None:
    report = report_of(callback, ALL)

    assert report.ok and report.complete, report.text()


@pytest.mark.parametrize(
    ("callback", "check", "hook", "events"),
    [
        (own_machine.TooLate, "H7-readonly", "on_before_warmup", 0),
        (own_machine.Impatient, "H6-cancel", "on_before_warmup", 1),
        (own_machine.Trusting, "H3-raised", "on_init_failed", 1),
        (own_machine.OnceOnly, "H3-raised", "on_before_warmup", 1),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_bugs_that_only_this_machine_can_show(
    callback: type, check: str, hook: str, events: int
) -> None:
    report = report_of(callback, Profile("first", 1, 250, after_failure=20), PATH)

    [failure] = [failure for failure in report.failures if failure.check == check]
    assert hook == failure.hook
    scenario = failure.scenario
    assert events == len(scenario.faults) + len(scenario.acts) + len(scenario.others)
    assert f"--machine {PATH}" in failure.reproduce
    assert f"machine='{PATH}'" in failure.text(report.callback)
    again = check_callback(callback, machine=PATH, scenarios=[scenario], on_fail="return")
    assert check in {found.check for found in again.failures}


def test_a_hook_that_the_machine_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown hook 'on_before_warmup'"):
        check_callback(own_machine.Careful)


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ("node_int", "did you mean 'node_init'?"),
        ("nowhere:WARM", "cannot import 'nowhere'"),
        ("tests.testing.own_machine:NO_MACHINE", "is no Definition"),
        (SMALL, "is about a Ctx, not a CallbackCtx"),
    ],
)
def test_what_is_no_machine_of_nodes(machine: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        check_callback(correct.Nothing, machine=machine)  # type: ignore[arg-type]
