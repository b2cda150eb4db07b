"""Measurements of `nodeinit.telemetry`, handed to Ray, which shows them to Prometheus."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict

from ray.util import metrics

from nodeinit.telemetry.instruments import Instrument, Kind
from nodeinit.telemetry.measures import Measure


class RayMeter:
    """Records with `ray.util.metrics`. One a process: Ray has one metric of a name."""

    def __init__(self) -> None:
        self._metrics: dict[str, metrics.Metric] = {}
        self._sums: defaultdict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
        self._lock = threading.Lock()

    def record(self, measure: Measure) -> None:
        """Take a measurement."""
        instrument, value = measure.instrument, measure.value
        tags = dict(zip(instrument.labels, measure.labels, strict=True))
        with self._lock:
            metric = self._metrics.get(instrument.name)
            if metric is None:
                metric = self._metrics[instrument.name] = _made(instrument)
            match metric:
                case metrics.Counter():
                    if value > 0:  # Ray takes no nothing
                        metric.inc(value, tags=tags)
                case metrics.Histogram():
                    metric.observe(value, tags=tags)
                case metrics.Gauge():
                    if instrument.kind is Kind.UP_DOWN:
                        key = (instrument.name, measure.labels)
                        self._sums[key] = value = self._sums[key] + value
                    metric.set(value, tags=tags)


@functools.cache
def shared() -> RayMeter:
    """The meter of this process."""
    return RayMeter()


def _made(instrument: Instrument) -> metrics.Metric:
    name, text, labels = instrument.name, instrument.description, instrument.labels
    match instrument.kind:
        case Kind.COUNTER:
            return metrics.Counter(name, text, tag_keys=labels)
        case Kind.HISTOGRAM:
            return metrics.Histogram(name, text, list(instrument.buckets), tag_keys=labels)
        case _:
            return metrics.Gauge(name, text, tag_keys=labels)
