"""One check under way: which scenarios are run, what they break, and what it comes to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import attrs

from nodeinit.testing.again import COMPARING, compared
from nodeinit.testing.checks import CHECKS, hint_of
from nodeinit.testing.exploring import SMALL, Frontier, bound_of
from nodeinit.testing.generate import LANDMARKS, OPS, WORLDS, chance, singles
from nodeinit.testing.harness import Harness
from nodeinit.testing.machines import hooks_that_stop, own_phases
from nodeinit.testing.positions import Recorder
from nodeinit.testing.profiles import Profile
from nodeinit.testing.properties import Property
from nodeinit.testing.report import CheckReport, EdgeKey, Failure, failure_of
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.shrink import shrink
from nodeinit.testing.trace import Trace
from nodeinit.testing.trial import Breach

_now = time.monotonic  # the real one: a check patches what hooks see of it

UNWATCHED = ("H4-hang", "H5-blocking", "H6-cancel", "R2-leak", "R3-foreign", "R4-tasks")
"""What cannot be said of work that is done in threads, in other programs and over sockets."""


class Hunt:
    """One check under way."""

    def __init__(
        self,
        harness: Harness,
        profile: Profile,
        seed: int,
        expected: Mapping[str, str],
    ) -> None:
        self.harness, self.profile, self.seed = harness, profile, seed
        self.expected = expected
        self.found: dict[str, Scenario] = {}
        self.happened: set[str] = set()
        self.untold: dict[str, str] = {}
        self.first: dict[str, tuple[Breach, int]] = {}
        """How each law was broken first, and in which run."""
        self.states: set[str] = {"idle"}
        self.visits: Counter[EdgeKey] = Counter()
        self.capped = False
        self.explored: Frontier | None = None
        self._began, self._tried = _now(), 0
        self._after: int | None = None
        self.sequences = 0
        self.unsupported = False

    # -- which scenarios ---------------------------------------------------------------------------

    def all(self) -> CheckReport:
        """The scenarios of the profile, until there is enough."""
        for scenario, again in self._scenarios():
            if self.harness.runs >= self.profile.sequences or self._over():
                break
            self._try(scenario, again or self._tried % self.profile.again == 0)
        frontier = Frontier(SMALL[: self.profile.explored], retries=self.profile.retries)
        enough = self.harness.runs + self.profile.most
        while frontier and self.harness.runs < enough and not self._over():
            scenario, recorder = frontier.take(), frontier.recorder()
            self._try(scenario, False, recorder)
            frontier.grow(scenario, recorder)
        self.explored = frontier
        return self._report()

    def _over(self) -> bool:
        """Whether the time is up, or enough was tried since the first failure."""
        self.capped = self.capped or _now() - self._began > self.profile.cap
        return self.capped or (self._after is not None and self._after <= 0)

    def _scenarios(self) -> Iterator[tuple[Scenario, bool]]:
        """First what is plain; then single faults and chance, in turns."""
        worlds = WORLDS[: self.profile.worlds]
        plain = []
        yield from ((scenario, False) for scenario in (*worlds, *LANDMARKS))
        yield from ((scenario, True) for scenario in (*worlds, *LANDMARKS))
        for world in worlds:
            plain.append(self.harness.run(world))
        yield from ((scenario, True) for scenario in LANDMARKS)
        machine = self.harness.machine
        hooks = hooks_that_stop(machine)
        each = [scenario for trace in plain for scenario in singles(trace, hooks)]
        # Spread, so that no kind of fault has to wait for the end of another.
        step = next(n for n in (37, 41, 43, 47) if len(each) % n)
        spread = (each[i * step % len(each)] for i in range(len(each)))
        random = chance(self.seed, (*OPS, *own_phases(machine)), hooks)
        for single in spread:
            yield single, False
            yield next(random), False
        yield from ((scenario, False) for scenario in random)

    def only(self, scenarios: Sequence[Scenario]) -> CheckReport:
        """These scenarios, and no others."""
        for scenario in scenarios:
            self._try(scenario, True)
        return self._report(only=True)

    # -- one scenario ------------------------------------------------------------------------------

    def _try(self, scenario: Scenario, again: bool, recorder: Recorder | None = None) -> None:
        """Run it and keep what is new."""
        before = self.harness.runs
        self._tried += 1
        trace = self.harness.run(scenario, recorder=recorder)
        self.states.update(trace.states)
        self.visits.update(trace.taken)
        self.happened |= trace.happened
        self.untold.update(trace.untold)
        self.unsupported |= trace.log.unsupported
        breaches = list(trace.breaches)
        hung = any(breach.check == "H4-hang" for breach in breaches)
        if again and not hung:
            breaches += compared(self.harness, scenario, trace)
        for breach in breaches:
            self.found.setdefault(breach.check, scenario)
            self.first.setdefault(breach.check, (breach, self.harness.runs))
        if set(self.found) - set(self.expected):
            left = self.profile.after_failure if self._after is None else self._after
            # What runs hot takes long.
            self._after = left - (self.harness.runs - before) - (50 if trace.log.hot else 0)

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
        missed = sorted(" ".join(map(str, edge)) for edge in edges - set(self.visits))
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
        hidden = self.harness.hidden()
        notes += [f"  not provable: {how}" for how in (*hidden.state, *hidden.outside)]
        doubtful = {*(COMPARING if hidden else ()), *(UNWATCHED if hidden.outside else ())}
        if never and partial:
            notes.append(f"  never seen: {', '.join(str(prop.sometimes) for prop in never)}")
        doubtful |= {prop.id for prop in never}
        verdicts = self._verdicts(reached, unsure, {prop.id for prop in never}, partial, doubtful)
        frontier = self.explored
        whole = frontier is not None and self.profile.explored > 0 and not frontier
        if frontier is not None and self.profile.explored:
            worlds = min(self.profile.explored, len(SMALL))
            kind = "complete" if whole else "not complete"
            notes.append(f"  {kind}: {bound_of(frontier, worlds)}")
        return CheckReport(
            callback=self.harness.spec.name,
            profile=self.profile.name,
            seed=self.seed,
            sequences=self.sequences,
            states=(len(states & self.states), len(states)),
            edges=(len(edges & set(self.visits)), len(edges)),
            complete=reached and whole and not (unsure or failures or hidden),
            provable=not hidden,
            checks={c: "excluded" if c in self.expected else v for c, v in verdicts.items()},
            failures=tuple(failures),
            notes=tuple(notes),
            expected={check: verdicts[check] for check in self.expected},
            visits={edge: self.visits[edge] for edge in sorted(edges)},
            machine=machine,
        )

    def _verdicts(
        self,
        reached: bool,
        unsure: bool,
        never: Collection[str],
        partial: bool,
        doubtful: Collection[str],
    ) -> dict[str, str]:
        found = {}
        for check in (*CHECKS, *(prop.id for prop in self.harness.properties)):
            if check in self.found or (check in never and not partial):
                found[check] = "failed"
            elif (
                unsure or not self.sequences or check in doubtful or (check == "M5" and not reached)
            ):
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
            with self.harness.hastily():
                small = shrink(scenario, lambda smaller: breaks(smaller) is not None)
            seen = breaks(small) or breaks(scenario)
        else:
            seen = breaks(scenario)
        harness = self.harness
        first, number = self.first[check]
        if seen is None:  # it depends on what was run before it: state of a module, most likely
            message = f"{first.message}; once, but not again: state outlives the instances"
            seen = attrs.evolve(first, message=message), harness.run(scenario)
        breach, trace = seen
        return attrs.evolve(failure_of(breach, trace, harness), sequence=number)
