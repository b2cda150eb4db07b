"""`check_callback`: does a callback keep the contract of a hook, whatever happens around it?"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from nodeinit.errors import ConfigError, Fault, NodeInitError
from nodeinit.testing.checks import CHECKS, hint_of
from nodeinit.testing.generate import WORLDS, chance, singles
from nodeinit.testing.harness import Harness, Trace
from nodeinit.testing.properties import Property
from nodeinit.testing.report import CheckReport, Failure, failure_of
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.shrink import shrink
from nodeinit.testing.trial import Breach
from nodeinit.testing.twice import again as run_again

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
        Profile("default", 4, 2_500),
        Profile("ci", 4, 10_000, again=25),
        Profile("nightly", 4, 200_000, again=25, cap=7_200.0),
    )
}


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
    scenarios: Sequence[Scenario] = (),
    on_fail: Literal["raise", "return"] = "raise",
) -> CheckReport:
    """Run a callback through the real machine in many scenarios, and judge each.

    `callback` is a class, a function that makes an instance, or `"module:Class"`; `kwargs` go to it.
    With `scenarios` only these are run. `expected_failures` maps ids of checks to the reason why they
    may fail; one that does not fail is warned about. `allow_exceptions` may leave a hook beside
    `TemporaryError` and `PermanentError`.

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
    scenarios: Sequence[Scenario] = (),
) -> CheckReport:
    """What `check_callback` finds, without an opinion: it neither warns nor raises because of it."""
    expected = dict(expected_failures or {})
    known(expected, properties)
    chosen = profile_of(profile)
    harness = Harness(callback, kwargs, properties=properties, allow_exceptions=allow_exceptions)
    with harness:
        hunt = _Hunt(harness, chosen, seed, expected, kwargs or {})
        return hunt.only(scenarios) if scenarios else hunt.all()


def stale(callback: str, check: str) -> str:
    """What is said of a check that is expected to fail, and passes."""
    return f"{callback}: {check} is expected to fail, but did not"


def profile_of(found: str | Profile) -> Profile:
    """A profile, given itself or its name. Raises `ConfigError` for a name that is not known."""
    if isinstance(found, Profile):
        return found
    if found not in PROFILES:
        raise ConfigError(Fault("profile", "is not known", found, f"use {', '.join(PROFILES)}"))
    return PROFILES[found]


def known(expected: Mapping[str, str], properties: Sequence[Property]) -> None:
    """Refuse, with `ConfigError`, to expect what is no check or has no reason."""
    ids = {*CHECKS, *(found.id for found in properties)}
    for check, reason in expected.items():
        if check not in ids:
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
        self.happened: set[str] = set()
        self.untold: dict[str, str] = {}
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
        for world in worlds:
            yield world, True
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
        return self._report(only=True)

    # -- one scenario ------------------------------------------------------------------------------

    def _try(self, scenario: Scenario, again: bool) -> bool:
        """Run it and keep what is new; whether it ran hot, and so takes long."""
        trace = self.harness.run(scenario)
        self.states.update(trace.states)
        self.edges |= trace.edges
        self.happened |= trace.happened
        self.untold.update(trace.untold)
        self.unsupported |= trace.log.unsupported
        breaches = list(trace.breaches)
        hot = any(breach.check == "H4-hang" for breach in breaches)
        if again and not hot:
            breaches += run_again(self.harness, trace)
        for breach in breaches:
            self.found.setdefault(breach.check, scenario)
        return hot

    def _breaks(self, check: str) -> Callable[[Scenario], tuple[Breach, Trace] | None]:
        """A function that runs a scenario and gives the breach of one check in it."""

        def run(scenario: Scenario) -> tuple[Breach, Trace] | None:
            trace = self.harness.run(scenario)
            breaches = list(trace.breaches)
            if check in ("H8-idempotent", "H10-deterministic"):
                breaches += run_again(self.harness, trace)
            return next(((b, trace) for b in breaches if b.check == check), None)

        return run

    # -- what it came to ---------------------------------------------------------------------------

    def _report(self, *, only: bool = False) -> CheckReport:
        self.sequences = self.harness.runs
        failures = [
            self._failure(check, scenario, shrinking=not only)
            for check, scenario in self.found.items()
            if check not in self.expected
        ]
        unsure = self.capped or self.unsupported
        # Who looked at a few runs, or stopped early, cannot say that a thing never happens.
        never = self._never()
        partial = unsure or only or bool(failures)
        if not partial:
            failures += [self._vain(prop) for prop in never if prop.id not in self.expected]
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
        if never and partial:
            notes.append(f"  never seen: {', '.join(str(prop.sometimes) for prop in never)}")
        verdicts = self._verdicts(reached, unsure, {prop.id for prop in never}, partial)
        return CheckReport(
            callback=self.harness.spec.name,
            profile=self.profile.name,
            seed=self.seed,
            sequences=self.sequences,
            states=(len(states & self.states), len(states)),
            edges=(len(edges & self.edges), len(edges)),
            complete=reached and self.tried_all and not unsure and not failures,
            checks={c: "excluded" if c in self.expected else v for c, v in verdicts.items()},
            failures=tuple(failures),
            notes=tuple(notes),
            expected={check: verdicts[check] for check in self.expected},
        )

    def _verdicts(
        self, reached: bool, unsure: bool, never: Collection[str], partial: bool
    ) -> dict[str, str]:
        found = {}
        for check in (*CHECKS, *(prop.id for prop in self.harness.properties)):
            if check in self.found or (check in never and not partial):
                found[check] = "failed"
            elif unsure or not self.sequences or check in never or (check == "M5" and not reached):
                found[check] = "inconclusive"
            else:
                found[check] = "passed"
        return found

    def _never(self) -> list[Property]:
        """The author's `sometimes` that were true of no run."""
        own = self.harness.properties
        return [prop for prop in own if prop.sometimes is not None and prop.id not in self.happened]

    def _vain(self, prop: Property) -> Failure:
        """The failure that a `sometimes` is which never was true."""
        message = f"never in {self.sequences} sequences: {prop.sometimes}"
        if prop.id in self.untold:
            message += f" (it raised {self.untold[prop.id]})"
        return Failure(prop.id, message, Scenario(), (), hint_of(prop.id))

    def _failure(self, check: str, scenario: Scenario, shrinking: bool) -> Failure:
        breaks = self._breaks(check)
        if shrinking:
            tries = 12 if check == "H4-hang" else 150
            scenario = shrink(scenario, lambda smaller: breaks(smaller) is not None, tries)
        seen = breaks(scenario)
        harness = self.harness
        if seen is None:  # it depends on what was run before it: state of a module, most likely
            message = "was broken once, but not again: state outlives the instances"
            seen = Breach(check, message), harness.run(scenario)
        breach, trace = seen
        return failure_of(breach, trace, harness.spec.name, self.kwargs, harness.names)
