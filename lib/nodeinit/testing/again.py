"""The laws that compare runs: a scenario once more, with one thing changed that must not matter."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.testing.harness import Harness
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.trace import Trace
from nodeinit.testing.trial import Breach

COMPARING = ("H8-idempotent", "H9-twin", "H10-deterministic", "H11-commutes")
"""The checks of this module."""


def compared(
    harness: Harness, scenario: Scenario, trace: Trace, only: str | None = None
) -> Iterator[Breach]:
    """What only shows when a scenario is run again, given the trace of its first run."""
    if only in (None, "H10-deterministic"):
        yield from _deterministic(harness, scenario, trace)
    if only in (None, "H8-idempotent"):
        twice = harness.run(scenario, twice=True)
        yield from (breach for breach in twice.breaches if breach.check == "H8-idempotent")
    if scenario.acts:
        return  # what comes from outside meets hooks some turns of the loop sooner or later,
    # and so do the hooks of hosts that run side by side: what they do is not compared.
    if only in (None, "H9-twin"):
        how = harness.same(trace, harness.run(scenario, variant="twin"), hosts=False)
        if how is not None:
            said = f"{how}, with sync hooks made async and async ones sync"
            yield _breach("H9-twin", said, trace)
    if only in (None, "H11-commutes"):
        how = harness.same(trace, harness.run(scenario, variant="beside"), hosts=False)
        if how is not None:
            yield _breach("H11-commutes", f"{how}, beside callbacks that do nothing", trace)


def _deterministic(harness: Harness, scenario: Scenario, trace: Trace) -> Iterator[Breach]:
    # A hook may note what time it is; what it asks for is the same on another day.
    how = harness.same(trace, harness.run(scenario, seed=1, variant="later"), "custom_data")
    if how is None:
        how = harness.same(trace, harness.run(scenario, seed=1))
    if how is not None:
        yield _breach("H10-deterministic", how, trace)


def _breach(check: str, how: str, trace: Trace) -> Breach:
    """`how` begins with the hook that is to blame."""
    hook, _, what = how.partition(" ")
    line = next((call.where for call in reversed(trace.calls) if call.hook == hook), "")
    return Breach(check, what, hook=hook, line=line)
