"""`observe`: one call that has a node's steps measured, traced and logged."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nodeinit.clusters.base import Progress
from nodeinit.fsm.snapshot import Step
from nodeinit.node.initializer import NodeInitializer
from nodeinit.telemetry.logs import StepLog
from nodeinit.telemetry.measures import Measure, Measures, Meter

log = logging.getLogger("nodeinit.telemetry")


def observe(
    node: NodeInitializer,
    *,
    meter: Meter | None = None,
    tracer: Any = None,
    metrics: bool = True,
    spans: bool = True,
    logs: bool = True,
) -> Callable[[], None]:
    """Have a node measured, traced and logged; answers a function that ends it.

    May be called before the node is entered or later: steps that it has taken are told first.
    `meter` is where measurements go (default: Ray's metrics, once this process has a Ray), `tracer`
    an OpenTelemetry tracer (default: that of the global provider; none without OpenTelemetry).
    Never raises for what goes wrong there, and never holds the node up.
    """
    observer = _Observer(node, meter, tracer, metrics=metrics, spans=spans, logs=logs)
    for step in node.steps:
        observer.of_step(step)
    ends = [node.subscribe(observer.of_step)]
    if metrics:
        ends.append(node.subscribe_progress(observer.of_progress))

    def end() -> None:
        for unsubscribe in ends:
            unsubscribe()

    return end


class _Observer:
    """Hands steps to those that want them, and keeps their failures from everybody else."""

    def __init__(
        self,
        node: NodeInitializer,
        meter: Meter | None,
        tracer: Any,
        *,
        metrics: bool,
        spans: bool,
        logs: bool,
    ) -> None:
        self._node = node
        self._meter = meter
        self._tracer = tracer
        self._measures = Measures(node.config.model_id) if metrics else None
        self._spans: Any = None
        self._wants_spans = spans and importlib.util.find_spec("opentelemetry") is not None
        self._log = StepLog(node.name, node.config.model_id) if logs else None
        self._failed: set[str] = set()
        self._lock = threading.Lock()

    def of_step(self, step: Step) -> None:
        if self._measures is not None:
            self._guarded("metrics", self._record, self._measures.of_step(step))
        if self._wants_spans:
            self._guarded("spans", self._trace, step)
        if self._log is not None:
            self._guarded("logs", self._log.of_step, step)

    def of_progress(self, report: Progress) -> None:
        if self._measures is not None:
            self._guarded("metrics", self._record, self._measures.of_progress(report))

    def _record(self, measures: Iterator[Measure]) -> None:
        with self._lock:  # steps and progress come from threads of their own
            for measure in measures:
                if self._meter is None:
                    self._meter = _meter_of_ray()
                if self._meter is not None:
                    self._meter.record(measure)

    def _trace(self, step: Step) -> None:
        if self._spans is None:
            # Loaded when there is something to trace: OpenTelemetry is an extra.
            module = importlib.import_module("nodeinit.telemetry.spans")
            began = self._node.began or time.time()
            zero = round(began * 1e9)
            self._spans = module.Spans(
                self._node.name, self._node.config.model_id, zero, self._tracer
            )
        self._spans.of_step(step)

    def _guarded(self, what: str, function: Callable[[Any], None], item: Any) -> None:
        try:
            function(item)
        except Exception:
            if what not in self._failed:  # once is enough: it may go on for every step
                self._failed.add(what)
                log.warning("%s: its %s failed", self._node.name, what, exc_info=True)


def _meter_of_ray() -> Meter | None:
    """Ray's metrics, if this process is connected to a Ray; imported by name, as a cluster is."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    meter: Meter = importlib.import_module("nodeinit.ray.meter").shared()
    return meter
