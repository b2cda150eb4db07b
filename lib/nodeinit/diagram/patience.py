"""How patient a machine is with a phase, in a few words."""

from __future__ import annotations

from nodeinit.fsm.policy import Policy


def patience(policy: Policy, phase: str) -> tuple[str, str]:
    """How long a try of a phase may take; and how many tries there are, how far apart."""
    of = policy.of(phase)
    tries = "once" if of.attempts == 1 else f"{of.attempts} tries"
    first, last = of.backoff.initial, of.backoff.maximum
    waits = "" if of.attempts == 1 else f", {_time(first)} to {_time(last)} apart"
    return f"{_time(of.deadline)} a try", f"{tries}{waits}"


def _time(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
