"""The steps of a run as tables: those that threw it back, and all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from nodeinit.amounts import grouped, seconds, times
from nodeinit.diagram.run.over import culprit_of
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.spans import is_setback
from nodeinit.diagram.run.told import MOST_ROWS, Told
from nodeinit.fsm.events import BOOKKEEPING
from nodeinit.fsm.snapshot import Step

T = TypeVar("T")

MOST = 120
"""So many steps are listed one by one: the first half of them and the last; others are counted."""


def setbacks_told(run: RunRecord) -> Told:
    found = [step for step in run.steps if is_setback(step)]

    def row(step: Step) -> tuple[str, ...]:
        reason = step.occurred.reason or step.after.reason
        said = reason.message if reason is not None else ""
        rules = [f"not to {r.target}: {r.guard}: {r.why}" for r in step.refusals if r.why != said]
        why = "\n".join([said, *rules]).strip()
        where = f"{step.before.state} → {step.after.state}"
        return f"{step.at:.3f}", where, culprit_of(step), why

    rows = [row(step) for step in _ends(found, MOST_ROWS)]
    if len(found) > len(rows):
        left = Counter(
            f"{s.before.state}: {culprit_of(s)}" for s in found[MOST_ROWS // 2 : -MOST_ROWS // 2]
        )
        told = ", ".join(f"{what} {times(n, 'time')}" for what, n in left.most_common(6))
        rows.insert(
            MOST_ROWS // 2,
            ("…", f"{grouped(len(found) - len(rows))} more", "", told),
        )
    return Told("What went wrong", ("at (s)", "where", "what", "why"), tuple(rows), "n")


def _ends(found: Sequence[T], most: int) -> list[T]:
    """All of them, or the first and the last of many."""
    return list(found) if len(found) <= most else [*found[: most // 2], *found[-most // 2 :]]


def steps_told(run: RunRecord) -> Told:
    shown = _ends(list(enumerate(run.steps, 1)), MOST)
    rows = [_step(number, step) for number, step in shown]
    if len(run.steps) > len(shown):
        left = run.steps[MOST // 2 : -MOST // 2]
        kinds = Counter(f"{s.occurred.event} in {s.before.state}" for s in left)
        told = ", ".join(f"{what}: {n}" for what, n in kinds.most_common())
        rows.insert(MOST // 2, ("…", "", f"{grouped(len(left))} more", "", told))
    return Told("Steps", ("#", "at (s)", "event", "state", "what"), tuple(rows), "nn")


def _step(number: int, step: Step) -> tuple[str, ...]:
    occurred, before, after = step.occurred, step.before, step.after
    where = before.state if before.state == after.state else f"{before.state} → {after.state}"
    return str(number), f"{step.at:.3f}", str(occurred.event), where, "\n".join(_what(step))


def _what(step: Step) -> Iterable[str]:
    occurred = step.occurred
    if occurred.held is not None and occurred.event in BOOKKEEPING:
        yield f"{occurred.held.kind} {occurred.held.name}"
    if not step.accepted:
        yield f"refused: {step.refused}"
    elif step.after.reason is not None and step.after.reason is not step.before.reason:
        yield str(step.after.reason)
    for hook in step.hooks:
        failed = f": failed: {hook.error}" if hook.error else ""
        yield f"{hook.hook} of {hook.callback}, {seconds(hook.seconds)}{failed}"
