"""Steps in a person's words, a line or a few for each: for pipes and for replays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from nodeinit.amounts import seconds, size
from nodeinit.clusters.base import Progress
from nodeinit.fsm.events import BOOKKEEPING, Event, Held
from nodeinit.fsm.snapshot import HookRun, Step, Wait

_BOOKS = {
    Event.ACQUIRING: "begins",
    Event.ACQUIRED: "holds",
    Event.DROPPED: "gave back",
    Event.ABANDONED: "COULD NOT give back",
}
# Of other events the guards say nothing that the headline does not.
_TELLING = (Event.DONE, Event.ERRORED, Event.ELAPSED, Event.DISPLACED, Event.LOST)
_RAY_ID = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{48}\b")


def step_lines(step: Step) -> Iterator[str]:
    """A step: what happened when, and below it why, what was refused, and what its hooks did."""
    yield f"{step.at:9.3f}  {_headline(step)}"
    for detail in _details(step):
        for line in detail.split("\n"):
            yield f"{'':9}      {line}"


def total_said(total: Progress) -> str:
    """How far all hosts are together: `1.2 of 8.0 GB, 310 MB/s, 22 s left`."""
    said = f"{size(total.done)} of {size(total.total)}"
    if total.rate > 0:
        said += f", {size(round(total.rate))}/s"
    if total.left:
        said += f", {seconds(total.left)} left"
    return said


def held_name(held: Held) -> str:
    """What is held: `group llm-1`; of Ray's long ids only the beginning."""
    return _RAY_ID.sub(r"\1", f"{held.kind} {held.name}")


def shortened(value: Any, width: int = 60) -> str:
    """A value in one line of at most so many characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _headline(step: Step) -> str:
    occurred, before, after = step.occurred, step.before, step.after
    if occurred.event in BOOKKEEPING:
        assert occurred.held is not None
        refused = "" if step.accepted else f" (refused: {step.refused})"
        itself = occurred.event is Event.DROPPED and before.state == occurred.held.phase
        what = "is done with" if itself else _BOOKS[occurred.event]
        return f"    {what} {held_name(occurred.held)}{refused}"
    if not step.accepted:
        return f"{before.state}: {occurred.event} was refused: {step.refused}"
    return f"{f'{before.state} -> {after.state}':24} on {occurred.event}{_try(step)}"


def _try(step: Step) -> str:
    tries = dict(step.after.tries).get(step.after.state, 1)
    parts = [f"try {tries}"] if tries > 1 else []
    if step.after.replans > step.before.replans:
        parts.append(f"plan {step.after.replans + 1}")
    return f" ({', '.join(parts)})" if parts else ""


def _details(step: Step) -> Iterator[str]:
    occurred = step.occurred
    why = step.after.reason if step.accepted else None
    if why is not None and why is not step.before.reason and why.code != "released":
        yield f"why: {why}"
    elif occurred.event is Event.ABANDONED and occurred.reason is not None:
        yield f"why: {occurred.reason.message}"
    if occurred.event in _TELLING:
        for refusal in step.refusals:
            yield f"not to {refusal.target}: {refusal.guard}: {refusal.why}"
    for run in step.hooks:
        yield _hook(run)
    for effect in step.effects:
        if isinstance(effect, Wait):
            yield f"waits {seconds(effect.seconds)}"


def _hook(run: HookRun) -> str:
    text = f"{run.hook} of {run.callback}, {seconds(run.seconds)}"
    if run.changes:
        changed = (f"{name} = {shortened(value)}" for name, value in run.changes.items())
        text += f": set {', '.join(changed)}"
    return f"{text}: FAILED: {run.error}" if run.error else text
