"""Running a scenario again: pinned in a test (`replay`), or to see whether a failure is mended."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from nodeinit.errors import ConfigError, Fault, NodeInitError
from nodeinit.fsm.definition import Definition
from nodeinit.testing.check import check_callback
from nodeinit.testing.checks import CHECKS
from nodeinit.testing.harness import Harness
from nodeinit.testing.machines import STANDARD
from nodeinit.testing.path import Taken, path_of
from nodeinit.testing.properties import Property
from nodeinit.testing.report import Failure
from nodeinit.testing.saved import Saved, load
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.scenario_line import read_scenario
from nodeinit.testing.trace import Trace


class Verdict(enum.StrEnum):
    """What became of a failure that was saved."""

    FIXED = "FIXED"
    FAILED = "FAILED"
    ERROR = "ERROR"


@attrs.frozen
class Outcome:
    """A saved failure that was run again: the verdict and why, and the path that it takes now."""

    saved: Saved
    verdict: Verdict
    why: str
    path: tuple[Taken, ...] = ()
    failures: tuple[Failure, ...] = ()

    def steps(self) -> list[str]:
        """The path, step by step; `~` marks a step that was another when the failure was saved."""
        lines: list[str] = []
        if not self.path:
            return lines
        for index in range(max(len(self.path), len(self.saved.events))):
            now = self.path[index] if index < len(self.path) else None
            then = _words(self.saved.events[index]) if index < len(self.saved.events) else ""
            same = not self.saved.events or (now is not None and _words(now.to_dict()) == then)
            was = "" if same else f"  (was {then or 'not there'})"
            lines.append(f"{' ' if same else '~'} {index + 1:2}. {now or 'not there'}{was}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The outcome for programs."""
        return {
            "callback": self.saved.callback,
            "check": self.saved.check,
            "scenario": self.saved.scenario.to_dict(),
            "verdict": str(self.verdict),
            "why": self.why,
            "events": [taken.to_dict() for taken in self.path],
        }


def replay(
    scenario: Scenario | str | Path,
    callback: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    machine: str | Definition | None = None,
    properties: Sequence[Property] = (),
    allow_exceptions: tuple[type[Exception], ...] = (),
) -> Trace:
    """Run one scenario again: a regression, pinned. The run that it was, if no law is broken.

    `scenario` is a `Scenario`, its line or JSON, or a file of a saved failure, which also knows the
    callback and the rest, as far as they are not given. Raises `CallbackFailed` with the report
    when a law is broken, `ConfigError` for what cannot be run.
    """
    if isinstance(scenario, str | Path) and Path(scenario).suffix == ".json":
        found = load(scenario)
        if len(found) != 1:
            problem = f"holds {len(found)} failures, not one"
            raise ConfigError(Fault("scenario", problem, repr(str(scenario))))
        [saved] = found
    else:
        known = scenario if isinstance(scenario, Scenario) else read_scenario(str(scenario))
        saved = Saved("", "", known)
    target = callback if callback is not None else saved.callback
    if not target:
        raise ConfigError(Fault("callback", "is not given, and a scenario does not name one"))
    given = dict(saved.kwargs if kwargs is None else kwargs)
    kind = machine or saved.machine or STANDARD
    options: dict[str, Any] = {
        "machine": kind,
        "properties": properties,
        "allow_exceptions": allow_exceptions,
    }
    check_callback(target, kwargs=given, scenarios=[saved.scenario], **options)
    with Harness(target, given, **options) as harness:
        return harness.run(saved.scenario)


def try_again(saved: Saved, callback: Any = None) -> Outcome:
    """Whether a saved failure still is one; with another callback, whether that one has it."""
    if saved.check not in CHECKS:
        why = f"{saved.check} is a property of a test: replay it there"
        return Outcome(saved, Verdict.ERROR, why)
    target, machine = callback or saved.callback, saved.machine or STANDARD
    try:
        report = check_callback(
            target,
            kwargs=saved.kwargs,
            scenarios=[saved.scenario],
            machine=machine,
            on_fail="return",
        )
        with Harness(target, saved.kwargs, machine=machine) as harness:
            path = path_of(harness.run(saved.scenario), harness.names)
    except NodeInitError as error:
        return Outcome(saved, Verdict.ERROR, str(error))
    still = [failure for failure in report.failures if failure.check == saved.check]
    if still:
        return Outcome(saved, Verdict.FAILED, still[0].message, path, report.failures)
    if report.failures:
        others = ", ".join(f"{f.check} ({f.message})" for f in report.failures)
        why = f"{saved.check} holds now, but not {others}"
        return Outcome(saved, Verdict.FAILED, why, path, report.failures)
    return Outcome(saved, Verdict.FIXED, "no law is broken in this scenario", path)


def _words(event: Mapping[str, Any]) -> str:
    return f"{event.get('event')}: {event.get('from')} -> {event.get('to')}"
