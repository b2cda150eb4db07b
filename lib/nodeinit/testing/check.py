"""`check_callback`: does a callback keep the contract of a hook, whatever happens around it?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nodeinit.errors import ConfigError, Fault, NodeInitError
from nodeinit.fsm.definition import Definition
from nodeinit.testing.checks import CHECKS
from nodeinit.testing.harness import POLICY, Harness
from nodeinit.testing.hunt import Hunt
from nodeinit.testing.machines import STANDARD
from nodeinit.testing.profiles import Profile, profile_of
from nodeinit.testing.properties import Property
from nodeinit.testing.report import CheckReport, Failure
from nodeinit.testing.scenario import Scenario


class CallbackFailed(NodeInitError, AssertionError):
    """A callback breaks a law; the message is the report, which is in `report` too.

    The message may be about one `failure` of the report alone.
    """

    def __init__(self, report: CheckReport, failure: Failure | None = None) -> None:
        super().__init__(failure.text(report.callback) if failure else report.text())
        self.report = report


def check_callback(
    callback: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    profile: str | Profile = "default",
    seed: int = 0,
    properties: Sequence[Property] = (),
    expected_failures: Mapping[str, str] | None = None,
    allow_exceptions: tuple[type[Exception], ...] = (),
    hook_deadline: float | None = None,
    scenarios: Sequence[Scenario] = (),
    machine: str | Definition = STANDARD,
    on_fail: Literal["raise", "return"] = "raise",
) -> CheckReport:
    """Run a callback through the real machine in many scenarios, and judge each.

    `callback` is a class, a function that makes an instance, or `"module:Class"`; `kwargs` go to it.
    With `scenarios` only these are run. `machine` is the one that runs it: a definition, the name of
    an installed one, or `"module:ATTR"`. `expected_failures` maps ids of checks to the reason why they
    may fail; one that does not fail is warned about. `allow_exceptions` may leave a hook beside
    `TemporaryError` and `PermanentError`. `hook_deadline` (seconds) is what the config gives a call of
    a hook, if it says so; else it is the default of nodeinit.

    Raises `CallbackFailed` when a law is broken (unless `on_fail="return"`), `ConfigError` when the
    callback or the profile cannot be used. The same arguments give the same report.
    """
    report = explored(
        callback,
        kwargs=kwargs,
        profile=profile,
        seed=seed,
        properties=properties,
        expected_failures=expected_failures,
        allow_exceptions=allow_exceptions,
        hook_deadline=hook_deadline,
        machine=machine,
        scenarios=scenarios,
    )
    for check, verdict in report.expected.items():
        if verdict == "passed":
            warnings.warn(stale(report.callback, check), stacklevel=2)
    if report.failures and on_fail == "raise":
        raise CallbackFailed(report)
    return report


def explored(
    callback: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    profile: str | Profile = "default",
    seed: int = 0,
    properties: Sequence[Property] = (),
    expected_failures: Mapping[str, str] | None = None,
    allow_exceptions: tuple[type[Exception], ...] = (),
    hook_deadline: float | None = None,
    machine: str | Definition = STANDARD,
    scenarios: Sequence[Scenario] = (),
) -> CheckReport:
    """What `check_callback` finds, without an opinion: it neither warns nor raises because of it."""
    expected = dict(expected_failures or {})
    known(expected, properties)
    chosen = profile_of(profile)
    harness = Harness(
        callback,
        kwargs,
        properties=properties,
        allow_exceptions=allow_exceptions,
        hook_deadline=hook_deadline or POLICY.hook_deadline,
        machine=machine,
    )
    with harness:
        hunt = Hunt(harness, chosen, seed, expected)
        return hunt.only(scenarios) if scenarios else hunt.all()


def stale(callback: str, check: str) -> str:
    """What is said of a check that is expected to fail, and passes."""
    return f"{callback}: {check} is expected to fail, but did not"


def known(expected: Mapping[str, str], properties: Sequence[Property]) -> None:
    """Refuse, with `ConfigError`, to expect what is no check or has no reason."""
    ids = {*CHECKS, *(found.id for found in properties)}
    for check, reason in expected.items():
        if check not in ids:
            raise ConfigError(Fault(f"expected_failures.{check}", "is not the id of a check"))
        if not reason:
            raise ConfigError(Fault(f"expected_failures.{check}", "has no reason"))
