"""Where a node is and why it is not further, in one sentence, from its steps alone."""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.fsm.events import FINALS, Frame
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, Step, Wait, count


def explain(steps: Sequence[Step], policy: Policy) -> str:
    """One sentence about the present (or final) state of a run."""
    if not steps:
        return "The node has not been started."
    now = steps[-1].after
    since = next((s.at for s in reversed(steps) if s.before.state != s.after.state), 0.0)
    match now.state:
        case state if state in FINALS:
            return f"The node is {state}{_because(now)}{_left_behind(now)}."
        case Frame.READY:
            return f"The node is ready since {since:.1f} s after its start{_tries(now)}."
        case Frame.RELEASING:
            return (
                f"The node gives back {_things(len(now.held))} on its way to {now.outcome}"
                f"{_because(now)}{_left_behind(now)}."
            )
        case Frame.BACKOFF:
            waits = [e for s in steps for e in s.effects if isinstance(e, Wait)]
            tries, attempts = count(now.tries, now.retry or ""), policy.of(now.retry or "").attempts
            seconds = f"{waits[-1].seconds:.1f} s " if waits else ""
            return (
                f"The node waits {seconds}before it tries {now.retry} again "
                f"(try {tries} of {attempts} failed){_because(now)}."
            )
        case Frame.IDLE:
            return "The node has not been started."
        case state:
            tries, attempts = count(now.tries, state), policy.of(state).attempts
            text = f"The node is in {state} since {since:.1f} s (try {tries} of {attempts}"
            if now.replans:
                text += f", plan {now.replans + 1}"
            setback = f"; the last setback was: {now.reason}" if now.reason else ""
            return f"{text}){setback}."


def phase_seconds(steps: Sequence[Step]) -> dict[str, float]:
    """Seconds spent in each state that the run was in, in order of first entry (finals left out)."""
    spent: dict[str, float] = {}
    entered = 0.0
    for step in steps:
        if step.before.state != step.after.state:
            state = step.before.state
            spent[state] = spent.get(state, 0.0) + step.at - entered
            entered = step.at
    return spent


def _because(now: Snapshot) -> str:
    return f": {now.reason}" if now.reason is not None and now.reason.code != "released" else ""


def _left_behind(now: Snapshot) -> str:
    if not now.cleanup_errors:
        return ""
    return f"; CLEANUP FAILED: {'; '.join(now.cleanup_errors)}"


def _tries(now: Snapshot) -> str:
    retried = [f"{phase} took {n} tries" for phase, n in now.tries if n > 1]
    if now.replans:
        retried.append(f"plan {now.replans + 1} was followed")
    return f" ({', '.join(retried)})" if retried else ""


def _things(number: int) -> str:
    return "one thing" if number == 1 else f"{number} things"
