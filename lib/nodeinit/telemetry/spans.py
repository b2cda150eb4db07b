"""OpenTelemetry spans of one node: the run, each visit of a phase, each hook, each host.

    nodeinit run ─┬─ config ──── hook on_before_download
                  ├─ download ─┬ host a · host b
                  │            └ hook on_before_placement
                  ├─ backoff
                  └─ placement ─ hook on_after_init

A run span ends when the node is ready or over, so that it is exported while somebody still looks;
healing and releasing a ready node are runs of their own, linked to the first one. Times are those of
the steps, not of when the exporter was told.
"""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from nodeinit.fsm.events import FINALS, Event, Frame, Reason
from nodeinit.fsm.snapshot import Step, count
from nodeinit.redact import redact_text
from nodeinit.telemetry.measures import fresh_reports, outcome_of, setback_of

_NS = 1_000_000_000
_RUNS = {Event.START: "nodeinit run", Event.LOST: "nodeinit heal"}


class Spans:
    """Makes the spans of one node; feed it every step in order.

    `zero` is the node's start in nanoseconds of Unix time: where a step's `at` is 0.
    """

    def __init__(
        self, node: str, model: str, zero: int, tracer: trace.Tracer | None = None
    ) -> None:
        self._common = {"nodeinit.node": node, "nodeinit.model": redact_text(model)}
        self._zero = zero
        self._tracer = tracer or trace.get_tracer("nodeinit")
        self._parent = parent_context()
        self._first: Span | None = None
        self._run: Span | None = None
        self._phase: Span | None = None
        self._entered = 0.0

    def of_step(self, step: Step) -> None:
        """Begin and end what this step begins and ends."""
        before, after = step.before.state, step.after.state
        if self._run is None and before != after:
            # What leads out of `ready` begins a run; its hooks belong to it already.
            self._run = self._begin(step)
        self._hooks(step)
        if before == after:
            return
        self._hosts(step)
        self._end_phase(step)
        if after == Frame.READY or after in FINALS:
            self._end_run(step)
        else:
            self._phase = self._start(str(after), step.at, self._run)
            tries, plan = count(step.after.tries, after), step.after.replans + 1
            self._phase.set_attributes({"nodeinit.attempt": tries, "nodeinit.plan": plan})
        self._entered = step.at

    # -- run -----------------------------------------------------------------------------------

    def _begin(self, step: Step) -> Span:
        name = _RUNS.get(step.occurred.event, "nodeinit release")
        links = [Link(self._first.get_span_context())] if self._first is not None else []
        # A node's zero is its start; its hooks ran before the step that they belong to.
        at = 0.0 if self._first is None else step.at - sum(run.seconds for run in step.hooks)
        span = self._tracer.start_span(
            name,
            context=self._parent,
            kind=SpanKind.INTERNAL,
            attributes=self._common,
            links=links,
            start_time=self._time(at),
        )
        self._first = self._first or span
        return span

    def _end_run(self, step: Step) -> None:
        assert self._run is not None
        self._run.set_attribute("nodeinit.outcome", str(step.after.state))
        if step.after.state == Frame.FAILED:
            self._blame(self._run, step.after.reason)
        if step.after.cleanup_errors:
            self._run.set_attribute("nodeinit.cleanup_errors", len(step.after.cleanup_errors))
        self._run.end(self._time(step.at))
        self._run = self._phase = None

    # -- phase, hook, host ---------------------------------------------------------------------

    def _end_phase(self, step: Step) -> None:
        if self._phase is None:
            return
        self._phase.set_attribute("nodeinit.outcome", outcome_of(step))
        if setback_of(step) is not None and step.before.state != Frame.RELEASING:
            self._blame(self._phase, step.after.reason)
        self._phase.end(self._time(step.at))

    def _hooks(self, step: Step) -> None:
        end = step.at
        for run in reversed(step.hooks):
            span = self._start(f"hook {run.hook}", end - run.seconds, self._phase or self._run)
            span.set_attribute("nodeinit.callback", run.callback)
            if run.error is not None:
                span.set_status(Status(StatusCode.ERROR, redact_text(run.error)))
            span.end(self._time(end))
            end -= run.seconds

    def _hosts(self, step: Step) -> None:
        for report in fresh_reports(step):
            span = self._start(f"host {report.node_id[:12]}", self._entered, self._phase)
            span.set_attributes(
                {
                    "nodeinit.node_id": report.node_id,
                    "nodeinit.mode": str(report.mode),
                    "nodeinit.bytes": report.bytes,
                    "nodeinit.fetched_bytes": report.fetched,
                    "nodeinit.strategy": report.strategy,
                }
            )
            span.end(self._time(min(step.at, self._entered + report.seconds)))

    def _start(self, name: str, at: float, parent: Span | None) -> Span:
        context = trace.set_span_in_context(parent) if parent is not None else self._parent
        return self._tracer.start_span(
            name, context=context, attributes=self._common, start_time=self._time(at)
        )

    def _time(self, at: float) -> int:
        return self._zero + round(at * _NS)

    def _blame(self, span: Span, reason: Reason | None) -> None:
        if reason is not None:
            span.set_attribute("nodeinit.reason", reason.code)
        span.set_status(Status(StatusCode.ERROR, redact_text(str(reason)) if reason else None))


def parent_context() -> Any:
    """What a run's span stands under: the present span, else what `TRACEPARENT` names, else nothing."""
    if trace.get_current_span().get_span_context().is_valid:
        return trace.set_span_in_context(trace.get_current_span())
    carrier = {
        name: value
        for name in ("traceparent", "tracestate")
        if (value := os.environ.get(name.upper()) or os.environ.get(name))
    }
    return TraceContextTextMapPropagator().extract(carrier)
