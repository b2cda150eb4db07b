"""One scenario with one callback: its trace, for a test that looks at it itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodeinit.testing.harness import Harness
from nodeinit.testing.properties import Property
from nodeinit.testing.report import failure_of
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.trace import Trace


def run_scenario(
    callback: Any,
    scenario: Scenario | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    properties: Sequence[Property] = (),
    allow_exceptions: tuple[type[Exception], ...] = (),
    seed: int = 0,
    may_break: bool = False,
) -> Trace:
    """Run a callback through one scenario (by default nothing goes wrong), in virtual time.

    The trace has the `states` that were entered, the `calls` of hooks, the `driver.steps`, where it
    came to its `end`, and the `cluster` as it is then. `kwargs`, `properties` and `allow_exceptions`
    are those of `check_callback`; chance in hooks begins at `seed`.

    Raises `AssertionError` with the report when a law is broken, unless it `may_break`: then
    `trace.breaches` tells. Raises `ConfigError` when the callback cannot be used.
    """
    __tracebackhide__ = True
    with Harness(
        callback, kwargs, properties=properties, allow_exceptions=allow_exceptions
    ) as harness:
        trace = harness.run(scenario or Scenario(), seed=seed)
    if trace.breaches and not may_break:
        raise AssertionError("\n\n".join(told(trace, harness)))
    return trace


def told(trace: Trace, harness: Harness) -> list[str]:
    """The report of each law that a run broke, once."""
    name = harness.spec.name
    first = {breach.check: breach for breach in reversed(trace.breaches)}
    return [failure_of(breach, trace, harness).text(name) for breach in reversed(first.values())]
