"""What only shows when a scenario is run again: with other chances, or with hooks called twice."""

from __future__ import annotations

from nodeinit.testing.harness import Harness, Trace
from nodeinit.testing.trial import Breach


def again(harness: Harness, trace: Trace) -> list[Breach]:
    """How the hooks of a run answer differently in another, and to a second call."""
    found = []
    how = harness.same(trace, harness.run(trace.scenario, seed=1))
    if how is not None:
        found.append(Breach("H10-deterministic", how, hook=how.split()[0]))
    twice = harness.run(trace.scenario, twice=True)
    found += [breach for breach in twice.breaches if breach.check == "H8-idempotent"]
    return found
