"""`explore`: every sequence of what can go wrong, until nothing new comes (a fixpoint).

From each world the run in which nothing goes wrong is taken, then that run with one thing going wrong
at every point of it, then with two, and so on, wherever the point is not like one that was tried
already (`nodeinit.testing.positions`). As phases are not tried for ever, this comes to an end: then no
sequence of any length, within the bounds, was left out. The shortest sequence comes first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from nodeinit.clusters.simulated import SimFault
from nodeinit.fsm.events import Frame
from nodeinit.testing.harness import Harness
from nodeinit.testing.positions import Point, Recorder
from nodeinit.testing.scenario import Act, Scenario

SMALL = (
    Scenario((2,), 1, 1),
    Scenario((2, 2), 2, 1),
    Scenario((2, 2), 2, 2),
    Scenario((4, 2), 1, 3, heal=False, pin="hosts"),
    Scenario((2, 2, 2), 2, 1, taken=(1, 0, 0), pin="none"),
)
"""Five small worlds: one host and several, with and without room to go on when one is lost."""

VICTIMS = 2
FAILING = ("temporary", "permanent")


@attrs.frozen
class Exploration:
    """What an exploration came to.

    `complete` says that it reached its fixpoint: `bound` says within what, or what cut it short.
    `states` and `edges` count the machine's that were reached, of how many there are; `points` how
    many unlike points were met, `depth` how much went wrong in the longest sequence, `visits` how
    often each edge (from, event, to) was taken, `never` those that were not. `broken` maps the ids of
    checks to the shortest scenario that breaks them.
    """

    callback: str
    sequences: int
    points: int
    depth: int
    states: tuple[int, int]
    edges: tuple[int, int]
    visits: Mapping[tuple[str, str, str], int]
    complete: bool
    bound: str
    never: tuple[tuple[str, str, str], ...] = ()
    broken: Mapping[str, Scenario] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return not self.broken

    def text(self) -> str:
        """A few lines for people."""
        verdict = f"breaks {', '.join(self.broken)}" if self.broken else "no law is broken"
        kind = "complete" if self.complete else "not complete"
        return "\n".join(
            [
                f"{self.callback}: {verdict}",
                f"  {kind}: {self.bound}",
                f"  {self.sequences} sequences, {self.points} unlike points, depth {self.depth}, "
                f"{'{}/{}'.format(*self.states)} states, {'{}/{}'.format(*self.edges)} edges",
                *self.notes,
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.ok,
            "callback": self.callback,
            "sequences": self.sequences,
            "complete": self.complete,
            "bound": self.bound,
            "points": self.points,
            "depth": self.depth,
            "states": list(self.states),
            "edges": list(self.edges),
            "visits": [
                {"from": a, "event": event, "to": b, "times": times}
                for (a, event, b), times in sorted(self.visits.items())
            ],
            "never": [list(edge) for edge in self.never],
            "broken": {check: found.to_dict() for check, found in self.broken.items()},
            "notes": list(self.notes),
        }


class Frontier:
    """The scenarios that are still to be run: take one, run it with `recorder()`, then `grow`."""

    def __init__(
        self, worlds: Sequence[Scenario] = SMALL, *, retries: int = 2, depth: int | None = None
    ) -> None:
        self.retries, self.depth = retries, depth
        self.reached = 0
        self.opaque: set[str] = set()
        self.cut = False
        """Whether the depth kept something from being tried."""
        self._tried: set[Hashable] = set()
        self._waiting = deque((world, world) for world in worlds)
        self._world = self._waiting[0][0] if self._waiting else None

    def __bool__(self) -> bool:
        """Whether there is something left to run."""
        return bool(self._waiting)

    @property
    def points(self) -> int:
        """How many unlike ways to go on were met."""
        return len(self._tried)

    def take(self) -> Scenario:
        """The next scenario; one with less going wrong comes before one with more."""
        self._world, scenario = self._waiting.popleft()
        self.reached = max(self.reached, _length(scenario))
        return scenario

    def recorder(self) -> Recorder:
        """What the run of the scenario is to be watched with."""
        return Recorder(self.retries)

    def grow(self, scenario: Scenario, recorder: Recorder) -> None:
        """Add what can go wrong next where the run came to a point unlike those before."""
        self.opaque |= recorder.opaque
        for point in recorder.points:
            for kind, longer in _next(scenario, point):
                key = (self._world, point.like, kind)
                if key in self._tried:
                    continue
                if self.depth is not None and _length(longer) > self.depth:
                    self.cut = True
                    continue
                self._tried.add(key)
                assert self._world is not None
                self._waiting.append((self._world, longer))


def _length(scenario: Scenario) -> int:
    return len(scenario.acts) + len(scenario.faults)


def _next(scenario: Scenario, point: Point) -> Iterator[tuple[str, Scenario]]:
    """What can go wrong at a point, each with the scenario in which it does."""
    if point.op:
        for kind in FAILING:
            fault = SimFault(point.op, kind, point.call)
            yield kind, attrs.evolve(scenario, faults=(*scenario.faults, fault))
        return
    dead = {act.node_id for act in scenario.acts if act.what == "kill"}
    acts = [("cancel", "")]
    acts += [("kill", node_id) for node_id in scenario.node_ids[:VICTIMS] if node_id not in dead]
    if point.state == Frame.READY:
        acts.append(("release", ""))
    for what, node_id in acts:
        act = Act(point.at, what, node_id, point.rounds)
        yield what + node_id, attrs.evolve(scenario, acts=(*scenario.acts, act))


def explore(
    callback: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    worlds: Sequence[Scenario] = SMALL,
    max_retries: int = 2,
    depth: int | None = None,
    max_sequences: int = 50_000,
    **how: Any,
) -> Exploration:
    """Run a callback through every sequence within the bounds, and judge each.

    `worlds` are scenarios in which nothing goes wrong yet. `max_retries` bounds the retries and new
    plans on the way to the next thing that goes wrong, `depth` how many things go wrong in all,
    `max_sequences` the work. At every await point a cancel comes or one of the first two hosts dies, at
    every call of the cluster it fails, for now or for good; at most one of these in one transition.
    `how` goes to `nodeinit.testing.harness.Harness` (`properties`, `allow_exceptions`).

    Nothing is raised for a law that is broken: see `Exploration.broken`. Raises `ConfigError` as
    `check_callback` does.
    """
    frontier = Frontier(worlds, retries=max_retries, depth=depth)
    visits: Counter[tuple[str, str, str]] = Counter()
    states: set[str] = set()
    broken: dict[str, Scenario] = {}
    with Harness(callback, kwargs, **how) as harness:
        while frontier and harness.runs < max_sequences:
            scenario, recorder = frontier.take(), frontier.recorder()
            trace = harness.run(scenario, recorder=recorder)
            states.update(trace.states)
            visits.update(trace.taken)
            for breach in trace.breaches:
                broken.setdefault(breach.check, scenario)
            frontier.grow(scenario, recorder)
        machine = harness.machine
        name, runs = harness.spec.name, harness.runs
    edges = {(e.sources[0], e.events[0], e.target) for e in machine.singles()}
    return Exploration(
        callback=name,
        sequences=runs,
        points=frontier.points,
        depth=frontier.reached,
        states=(len(states & set(machine.states)), len(machine.states)),
        edges=(len(edges & set(visits)), len(edges)),
        visits=dict(visits),
        complete=not frontier and not frontier.cut,
        bound=bound_of(frontier, len(worlds)),
        never=tuple(sorted((str(a), str(e), str(b)) for a, e, b in edges - set(visits))),
        broken=broken,
        notes=notes_of(frontier),
    )


def bound_of(frontier: Frontier, worlds: int) -> str:
    """Within what an exploration is complete, or what cut it short."""
    within = (
        f"{_counted(worlds, 'world')}, {_counted(frontier.retries, 'retry')}; at every await point a "
        f"cancel or the death of one of {VICTIMS} hosts, at every call a failure; one in a transition"
    )
    if frontier:
        return f"stopped with sequences left to run\n    {within}"
    if frontier.cut:
        return f"at most {frontier.depth} things go wrong\n    {within}"
    return f"every sequence, of any length\n    {within}"


def _counted(number: int, what: str) -> str:
    many = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{number} {what if number == 1 else many}"


def notes_of(frontier: Frontier) -> tuple[str, ...]:
    """What an exploration could not see."""
    if not frontier.opaque:
        return ()
    names = ", ".join(sorted(frontier.opaque)[:4])
    return (f"  not provable: what is in {names} cannot be compared; points may only seem alike",)
