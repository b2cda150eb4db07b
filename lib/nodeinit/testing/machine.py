"""The real machine under Hypothesis: a `RuleBasedStateMachine` whose steps are what goes wrong.

A run is a `Scenario` that is built step by step. Each step adds one thing to it, and then the whole
is run from the start, in virtual time: so a step can be laid at a moment at which something really
happened in the run so far, a law that breaks fails the step that broke it, and what fails is a value
to paste, to replay and to pin. A run takes milliseconds, so the repetition costs less than drawing.

There is one rule for everything that is done to the node, since Hypothesis switches rules off at
random (swarm testing), and few runs would have both halves of what belongs together. The actors that
are independent of it, the cluster and another callback, have rules of their own. Hypothesis is drawn
to runs that take many edges, and its statistics say how many got to which state.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from nodeinit.callbacks import CallbackSpec
from nodeinit.clusters.simulated import SimFault
from nodeinit.testing.again import compared
from nodeinit.testing.generate import HOOKS, KINDS, OPS, moments
from nodeinit.testing.harness import Harness
from nodeinit.testing.properties import Property
from nodeinit.testing.report import failure_of
from nodeinit.testing.scenario import Act, Other, Scenario
from nodeinit.testing.strategies import worlds
from nodeinit.testing.trace import Trace

STEPS = 6
"""So many steps a run has at most, by default: more of them only hide each other."""


class NodeMachine(RuleBasedStateMachine):
    """A node with a callback, to which things happen. Made by `machine_for`."""

    make_harness: Any
    """Makes the harness of a run, which is a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self.scenario = Scenario()
        self.trace: Trace
        self.harness: Harness = type(self).make_harness()
        self.harness.__enter__()

    @initialize(world=worlds())
    def world(self, world: Scenario) -> None:
        """The hosts, what is asked of them, and the node comes up."""
        __tracebackhide__ = True
        self.scenario = world
        self.run()

    @rule(
        what=st.sampled_from(["cancel", "kill", "release", "steal", "disk_full"]),
        moment=st.integers(0, 99),
        host=st.integers(0, 3),
    )
    def step(self, what: str, moment: int, host: int) -> None:
        """Something is done to the node from outside, at a moment at which something happens."""
        __tracebackhide__ = True
        found = moments(self.trace)
        at, rounds = found[moment % len(found)]
        node_id = self._host(host) if what in ("kill", "steal") else ""
        self._add(acts=Act(at, what, node_id, rounds))

    @rule(
        op=st.sampled_from(OPS),
        kind=st.sampled_from((*KINDS, "kill", "steal")),
        call=st.integers(0, 2),
        host=st.integers(0, 3),
    )
    def cluster_fails(self, op: str, kind: str, call: int, host: int) -> None:
        """A call of the cluster goes wrong."""
        __tracebackhide__ = True
        node_id = self._host(host) if kind in ("kill", "steal") else None
        self._add(faults=SimFault(op, kind, call, node_id))

    @rule(
        hook=st.sampled_from(HOOKS),
        kind=st.sampled_from(["temporary", "permanent"]),
        call=st.integers(0, 1),
    )
    def another_callback_fails(self, hook: str, kind: str, call: int) -> None:
        """Another callback of the same config fails."""
        __tracebackhide__ = True
        self._add(others=Other(hook, kind, call))

    def run(self) -> None:
        """Run the scenario as it is now. Raises `AssertionError` with the report of a broken law."""
        __tracebackhide__ = True
        self.trace = self.harness.run(self.scenario)
        self._judge(self.trace.breaches)

    def teardown(self) -> None:
        """Judge what only shows when it is run again, and give back what the harness holds."""
        __tracebackhide__ = True
        try:
            if hasattr(self, "trace") and not self.trace.breaches:
                target(float(len(self.trace.edges)), label="edges of the machine")
                for state in sorted({*self.trace.states}):
                    event(f"reached {state}")
                self._judge(list(compared(self.harness, self.trace.scenario, self.trace)))
        finally:
            self.harness.__exit__(None, None, None)

    def _host(self, number: int) -> str:
        node_ids = self.scenario.node_ids
        return node_ids[number % len(node_ids)]

    def _add(self, **events: Any) -> None:
        """One more thing that goes wrong; then all of it is run."""
        __tracebackhide__ = True
        more: dict[str, Any] = {
            name: (*getattr(self.scenario, name), event) for name, event in events.items()
        }
        self.scenario = attrs.evolve(self.scenario, **more)
        self.run()

    def _judge(self, breaches: Sequence[Any]) -> None:
        __tracebackhide__ = True
        if breaches:
            breach, name = breaches[0], self.harness.spec.name
            failure = failure_of(breach, self.trace, self.harness)
            raise _broken(breach.check)(failure.text(name))


@functools.cache
def _broken(check: str) -> type[AssertionError]:
    """An error of its own for each law: Hypothesis tells failures apart by their types."""
    return type(f"Breaks {check}", (AssertionError,), {"__module__": __name__})


def machine_for(
    callback: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    properties: Sequence[Property] = (),
    allow_exceptions: tuple[type[Exception], ...] = (),
) -> type[NodeMachine]:
    """A Hypothesis state machine that runs a callback through the real machine.

        TestMyCallback = machine_for(MyCallback).TestCase

    The arguments are those of `check_callback`. How much is tried say Hypothesis's own settings, on
    `TestCase.settings`. May be inherited from, with rules and invariants of one's own, which find the
    run in `self.trace` and its scenario in `self.scenario`. Raises `ConfigError` when the callback
    cannot be used.

    `check_callback` finds more in the same time, and its reports are smaller; this is for those who
    want Hypothesis's shrinking, database and statistics, or a machine to build on.
    """
    options: Any = {"properties": properties, "allow_exceptions": allow_exceptions}
    with Harness(callback, kwargs, **options):
        pass
    name = CallbackSpec(callback).name.rpartition(":")[2].rpartition(".")[2]
    made: type[NodeMachine] = type(
        f"{name}Machine",
        (NodeMachine,),
        {"make_harness": staticmethod(lambda: Harness(callback, kwargs, **options))},
    )
    made.TestCase.settings = settings(
        deadline=None,
        stateful_step_count=STEPS,
        suppress_health_check=list(HealthCheck),
        # What Hypothesis would explain are lines of the engine; the report has the callback's own.
        phases=[phase for phase in Phase if phase is not Phase.explain],
    )
    return made
