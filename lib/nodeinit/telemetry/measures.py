"""From steps to measurements. Pure: the same steps give the same measurements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs

from nodeinit.clusters.base import Progress
from nodeinit.context import NodeReport
from nodeinit.fsm.events import FINALS, Event, Frame
from nodeinit.fsm.snapshot import Do, Step
from nodeinit.telemetry import instruments as of
from nodeinit.telemetry import labels
from nodeinit.telemetry.instruments import Instrument


@attrs.frozen
class Measure:
    """A value for an instrument. `labels` are in the instrument's order."""

    instrument: Instrument
    value: float
    labels: tuple[str, ...]


class Meter(Protocol):
    """Where measurements go. Must not block for long; what it raises is logged and forgotten."""

    def record(self, measure: Measure) -> None:
        """Take a measurement."""
        ...


class Measures:
    """The measurements of one node; feed it every step in order."""

    def __init__(self, model: str) -> None:
        self._model = labels.models(model)
        self._entered = 0.0
        self._phases: set[str] = set()
        self._setting_out = 0.0  # when it began to become ready
        self._kind = "start"
        self._progress: dict[str, tuple[int, int]] = {}

    def of_step(self, step: Step) -> Iterator[Measure]:
        """What one step tells."""
        model = self._model
        for run in step.hooks:
            outcome = "failed" if run.error else "done"
            yield Measure(of.HOOK_SECONDS, run.seconds, (model, run.hook, outcome))
        if step.occurred.event is Event.ABANDONED and step.occurred.held is not None:
            yield Measure(of.CLEANUP_FAILURES, 1, (model, step.occurred.held.kind))
        before, after = step.before.state, step.after.state
        if before == after:
            return
        if before in self._phases or before in (Frame.BACKOFF, Frame.RELEASING):
            spent = step.at - self._entered
            yield Measure(of.PHASE_SECONDS, spent, (model, before, outcome_of(step)))
        if any(isinstance(effect, Do) for effect in step.effects) and after != Frame.READY:
            self._phases.add(after)
            yield Measure(of.ATTEMPTS, 1, (model, after))
        if (code := setback_of(step)) is not None:
            yield Measure(of.SETBACKS, 1, (model, before, labels.reason(code)))
        yield from self._bytes(step)
        yield from self._ends(step)
        if before != Frame.IDLE:
            yield Measure(of.NODES, -1, (model, before))
        if after not in FINALS:
            yield Measure(of.NODES, 1, (model, after))
        self._entered = step.at
        self._progress.clear()

    def of_progress(self, report: Progress) -> Iterator[Measure]:
        """What a report of progress tells."""
        if not report.node_id:
            return
        self._progress[report.node_id] = (report.done, report.total)
        done, total = (sum(column) for column in zip(*self._progress.values(), strict=True))
        yield Measure(of.PROGRESS_BYTES, done, (self._model,))
        yield Measure(of.PROGRESS_TOTAL, total, (self._model,))

    def _bytes(self, step: Step) -> Iterator[Measure]:
        for report in fresh_reports(step):
            yield Measure(of.FETCHED_BYTES, report.fetched, (self._model,))
            yield Measure(of.REUSED_BYTES, report.bytes - report.fetched, (self._model,))
            yield Measure(of.HOST_SECONDS, report.seconds, (self._model,))

    def _ends(self, step: Step) -> Iterator[Measure]:
        before, after = step.before.state, step.after.state
        if after == Frame.READY:
            spent = step.at - self._setting_out
            yield Measure(of.READY_SECONDS, spent, (self._model, self._kind))
        if before == Frame.READY:
            self._setting_out, self._kind = step.at, "heal"
        if after == Frame.READY or after in FINALS:
            reason = step.after.reason if after != Frame.READY else None
            code = labels.reason(reason.code if reason else None)
            yield Measure(of.OUTCOMES, 1, (self._model, after, code))


def outcome_of(step: Step) -> str:
    """The event that ended a state; a result that a guard turned away counts as an error."""
    if step.occurred.event is Event.DONE and setback_of(step) is not None:
        return str(Event.ERRORED)
    return str(step.occurred.event)


def setback_of(step: Step) -> str | None:
    """The code of what went wrong, for a step that does not lead on; else `None`."""
    event, reason = step.occurred.event, step.after.reason
    back = step.after.state in (Frame.BACKOFF, Frame.RELEASING)
    if not step.accepted or event in (Event.CANCEL, Event.RELEASE, Event.RETRY):
        return None
    if back or event in (Event.DISPLACED, Event.LOST):
        return reason.code if reason else labels.NONE
    return None


def fresh_reports(step: Step) -> tuple[NodeReport, ...]:
    """What the hosts reported at the end of the download that this step ends, by node id."""
    if step.occurred.event is not Event.DONE or step.before.state == step.after.state:
        return ()
    new = getattr(step.after.ctx, "nodes", None) or {}
    old = getattr(step.before.ctx, "nodes", None)
    return () if new is old else tuple(new[node_id] for node_id in sorted(new))
