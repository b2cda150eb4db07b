"""`check_callback`: does a callback keep the contract of a hook, whatever happens around it?"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from nodeinit.errors import ConfigError, Fault, NodeInitError
from nodeinit.testing.again import COMPARING, compared
from nodeinit.testing.checks import CHECKS
from nodeinit.testing.generate import LANDMARKS, WORLDS, chance, singles
from nodeinit.testing.harness import POLICY, Harness, Trace
from nodeinit.testing.properties import Property
from nodeinit.testing.report import CheckReport, Failure, failure_of
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.shrink import shrink
from nodeinit.testing.trial import Breach

UNWATCHED = ("H4-hang", "H5-blocking", "H6-cancel", "R2-leak", "R3-foreign", "R4-tasks")
"""What cannot be said of work that is done in threads, in other programs and over sockets."""

_now = time.monotonic  # the real one: a check patches what hooks see of it


@attrs.frozen
class Profile:
    """How much is tried: `worlds` in which every single fault is, and `sequences` in all.

    Every `again`-th scenario is also run a second time, and once with every hook called twice. The
    cap (seconds) is for machines that hang: a run that it cuts short is inconclusive. After a failure
    so many more sequences (`after_failure`) look for what else is broken.
    """

    name: str
    worlds: int
    sequences: int
    again: int = 50
    cap: float = 600.0
    after_failure: int = 150


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", 1, 300),
        Profile("default", 5, 2_500),
        Profile("ci", 5, 10_000, again=25),
        Profile("nightly", 5, 200_000, again=25, cap=7_200.0),
    )
}


class CallbackFailed(NodeInitError, AssertionError):
    """A callback breaks a law; the message is the report, which is in `report` too."""

    def __init__(self, report: CheckReport) -> None:
        super().__init__(report.text())
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
    on_fail: Literal["raise", "return"] = "raise",
) -> CheckReport:
    """Run a callback through the real machine in many scenarios, and judge each.

    `callback` is a class, a function that makes an instance, or `"module:Class"`; `kwargs` go to it.
    With `scenarios` only these are run. `expected_failures` maps ids of checks to the reason why they
    may fail; one that does not fail is warned about. `allow_exceptions` may leave a hook beside
    `TemporaryError` and `PermanentError`. `hook_deadline` (seconds) is what the config gives a call of
    a hook, if it says so; else it is the default of nodeinit.

    Raises `CallbackFailed` when a law is broken (unless `on_fail="return"`), `ConfigError` when the
    callback or the profile cannot be used. The same arguments give the same report.
    """
    expected = dict(expected_failures or {})
    _known(expected, properties)
    chosen = profile if isinstance(profile, Profile) else _profile(profile)
    harness = Harness(
        callback,
        kwargs,
        properties=properties,
        allow_exceptions=allow_exceptions,
        hook_deadline=hook_deadline or POLICY.hook_deadline,
    )
    with harness:
        hunt = _Hunt(harness, chosen, seed, expected, kwargs or {})
        report = hunt.only(scenarios) if scenarios else hunt.all()
    for check in expected:
        if check not in hunt.found:
            warnings.warn(
                f"{report.callback}: {check} is expected to fail, but did not", stacklevel=2
            )
    if report.failures and on_fail == "raise":
        raise CallbackFailed(report)
    return report


def _profile(name: str) -> Profile:
    if name not in PROFILES:
        raise ConfigError(Fault("profile", "is not known", name, f"use {', '.join(PROFILES)}"))
    return PROFILES[name]


def _known(expected: Mapping[str, str], properties: Sequence[Property]) -> None:
    known = {*CHECKS, *(found.id for found in properties)}
    for check, reason in expected.items():
        if check not in known:
            raise ConfigError(Fault(f"expected_failures.{check}", "is not the id of a check"))
        if not reason:
            raise ConfigError(Fault(f"expected_failures.{check}", "has no reason"))


class _Hunt:
    """One check under way."""

    def __init__(
        self,
        harness: Harness,
        profile: Profile,
        seed: int,
        expected: Mapping[str, str],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.harness, self.profile, self.seed = harness, profile, seed
        self.expected, self.kwargs = expected, kwargs
        self.found: dict[str, Scenario] = {}
        self.found_at: dict[str, int] = {}
        self.states: set[str] = {"idle"}
        self.edges: set[tuple[str, str, str]] = set()
        self.capped = False
        self.tried_all = False
        self.sequences = 0
        self.unsupported = False

    # -- which scenarios ---------------------------------------------------------------------------

    def all(self) -> CheckReport:
        """The scenarios of the profile, until there is enough."""
        began, left = _now(), self.profile.sequences
        after: int | None = None
        for number, (scenario, again) in enumerate(self._scenarios()):
            if left <= 0 or (after is not None and after <= 0):
                break
            if _now() - began > self.profile.cap:
                self.capped = True
                break
            before = self.harness.runs
            slow = self._try(scenario, again or number % self.profile.again == 0)
            spent = self.harness.runs - before
            left -= spent
            if set(self.found) - set(self.expected):
                after = (
                    (self.profile.after_failure if after is None else after)
                    - spent
                    - (50 if slow else 0)
                )
        return self._report()

    def _scenarios(self) -> Iterator[tuple[Scenario, bool]]:
        """First what is plain; then single faults and chance, in turns."""
        worlds = WORLDS[: self.profile.worlds]
        plain = []
        yield from ((scenario, False) for scenario in (*worlds, *LANDMARKS))
        yield from ((scenario, True) for scenario in (*worlds, *LANDMARKS))
        for world in worlds:
            plain.append(self.harness.run(world))
        each = [scenario for trace in plain for scenario in singles(trace)]
        # Spread, so that no kind of fault has to wait for the end of another.
        step = next(n for n in (37, 41, 43, 47) if len(each) % n)
        spread = (each[i * step % len(each)] for i in range(len(each)))
        random = chance(self.seed)
        for single in spread:
            yield single, False
            yield next(random), False
        self.tried_all = True
        yield from ((scenario, False) for scenario in random)

    def only(self, scenarios: Sequence[Scenario]) -> CheckReport:
        """These scenarios, and no others."""
        for scenario in scenarios:
            self._try(scenario, True)
        return self._report(shrinking=False)

    # -- one scenario ------------------------------------------------------------------------------

    def _try(self, scenario: Scenario, again: bool) -> bool:
        """Run it and keep what is new; whether it ran hot, and so takes long."""
        trace = self.harness.run(scenario)
        self.states.update(trace.states)
        self.edges |= trace.edges
        self.unsupported |= trace.log.unsupported
        breaches = list(trace.breaches)
        hung = any(breach.check == "H4-hang" for breach in breaches)
        if again and not hung:
            breaches += compared(self.harness, scenario, trace)
        for breach in breaches:
            self.found.setdefault(breach.check, scenario)
            self.found_at.setdefault(breach.check, self.harness.runs)
        return trace.log.hot

    def _breaks(self, check: str) -> Callable[[Scenario], tuple[Breach, Trace] | None]:
        """A function that runs a scenario and gives the breach of one check in it."""

        def run(scenario: Scenario) -> tuple[Breach, Trace] | None:
            trace = self.harness.run(scenario)
            breaches = list(trace.breaches)
            if check in COMPARING:
                breaches += compared(self.harness, scenario, trace, only=check)
            return next(((b, trace) for b in breaches if b.check == check), None)

        return run

    # -- what it came to ---------------------------------------------------------------------------

    def _report(self, *, shrinking: bool = True) -> CheckReport:
        self.sequences = self.harness.runs
        failures = [
            self._failure(check, scenario, shrinking)
            for check, scenario in self.found.items()
            if check not in self.expected
        ]
        machine = self.harness.machine
        edges = {(e.sources[0], e.events[0], e.target) for e in machine.singles()}
        states = set(machine.states)
        missed = sorted(" ".join(map(str, edge)) for edge in edges - self.edges)
        unseen = sorted(map(str, states - self.states))
        reached = not missed and not unseen
        notes = []
        if unseen:
            notes.append(f"  not reached: {', '.join(unseen)}")
        if missed:
            more = f" and {len(missed) - 4} more" if len(missed) > 4 else ""
            notes.append(f"  edges that were not taken: {'; '.join(missed[:4])}{more}")
        if self.capped:
            notes.append("  inconclusive: the time cap cut it short")
        if self.unsupported:
            notes.append(
                "  inconclusive: a hook wanted sockets or other programs, which are not here"
            )
        unsure = self.capped or self.unsupported
        hidden = self.harness.hidden()
        notes += [f"  not provable: {how}" for how in (*hidden.state, *hidden.outside)]
        doubtful = (*(COMPARING if hidden else ()), *(UNWATCHED if hidden.outside else ()))
        return CheckReport(
            callback=self.harness.spec.name,
            profile=self.profile.name,
            seed=self.seed,
            sequences=self.sequences,
            states=(len(states & self.states), len(states)),
            edges=(len(edges & self.edges), len(edges)),
            complete=reached and self.tried_all and not (unsure or failures or hidden),
            provable=not hidden,
            checks=self._verdicts(reached, unsure, doubtful),
            failures=tuple(failures),
            notes=tuple(notes),
        )

    def _verdicts(self, reached: bool, unsure: bool, doubtful: Sequence[str]) -> dict[str, str]:
        found = {}
        for check in (*CHECKS, *(prop.id for prop in self.harness.properties)):
            if check in self.expected:
                found[check] = "excluded"
            elif check in self.found:
                found[check] = "failed"
            elif unsure or check in doubtful or (check == "M5" and not reached):
                found[check] = "inconclusive"
            else:
                found[check] = "passed"
        return found

    def _failure(self, check: str, scenario: Scenario, shrinking: bool) -> Failure:
        breaks = self._breaks(check)
        if shrinking:
            with self.harness.hastily():
                small = shrink(scenario, lambda smaller: breaks(smaller) is not None)
            seen = breaks(small) or breaks(scenario)
        else:
            seen = breaks(scenario)
        harness = self.harness
        if seen is None:  # it depends on what was run before it: state of a module, most likely
            message = "was broken once, but not again: state outlives the instances"
            seen = Breach(check, message), harness.run(scenario)
        breach, trace = seen
        found = failure_of(breach, trace, harness.spec.name, self.kwargs, harness.names)
        return attrs.evolve(found, sequence=self.found_at.get(check, 0))
