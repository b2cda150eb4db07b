"""Every metric: its name, kind, unit and labels. The dashboard and the tests read them here.

Ray puts `ray_` before each name when it hands them to Prometheus. Labels are few and bounded: models
are capped (`nodeinit.telemetry.labels`), phases and hooks are those of the machine, and a reason is
the class of a failure, never its text.
"""

from __future__ import annotations

import enum

import attrs


class Kind(enum.StrEnum):
    """How the values of an instrument add up."""

    COUNTER = "counter"  # only ever grows
    GAUGE = "gauge"  # the latest value counts
    UP_DOWN = "up_down"  # a gauge that is told what changes of it
    HISTOGRAM = "histogram"


@attrs.frozen
class Instrument:
    """One metric. `buckets` are the upper bounds of a histogram's, in its unit."""

    name: str
    kind: Kind
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that Prometheus knows it by, once Ray has handed it on."""
        name = f"ray_{self.name}"
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{name}_{end}" for end in ("bucket", "sum", "count"))
        return (name,)


# From the planning of a small model to the download of a big one over a slow link.
_PHASE = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_HOOK = (0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60)

PHASE_SECONDS = Instrument(
    "nodeinit_phase_seconds",
    Kind.HISTOGRAM,
    "Seconds of each visit of a phase, of backoff and of releasing, by the event that ended it.",
    ("model", "phase", "outcome"),
    _PHASE,
)
READY_SECONDS = Instrument(
    "nodeinit_ready_seconds",
    Kind.HISTOGRAM,
    "Seconds from the start of a node until it was ready, or from a loss until it was so again.",
    ("model", "kind"),
    _PHASE,
)
HOOK_SECONDS = Instrument(
    "nodeinit_hook_seconds",
    Kind.HISTOGRAM,
    "Seconds of each call of a callback's hook.",
    ("model", "hook", "outcome"),
    _HOOK,
)
HOST_SECONDS = Instrument(
    "nodeinit_host_fetch_seconds",
    Kind.HISTOGRAM,
    "Seconds that a host took until it had its files of the model, verified.",
    ("model",),
    _PHASE,
)
ATTEMPTS = Instrument(
    "nodeinit_phase_attempts_total",
    Kind.COUNTER,
    "Tries of a phase, the first and every other.",
    ("model", "phase"),
)
SETBACKS = Instrument(
    "nodeinit_setbacks_total",
    Kind.COUNTER,
    "Phases that did not come to their end, and losses of ready nodes, by class of the reason.",
    ("model", "phase", "reason"),
)
OUTCOMES = Instrument(
    "nodeinit_outcomes_total",
    Kind.COUNTER,
    "Nodes that came to be ready, failed, were cancelled or released, by class of the reason.",
    ("model", "outcome", "reason"),
)
FETCHED_BYTES = Instrument(
    "nodeinit_fetched_bytes_total",
    Kind.COUNTER,
    "Bytes that moved to hosts.",
    ("model",),
)
REUSED_BYTES = Instrument(
    "nodeinit_reused_bytes_total",
    Kind.COUNTER,
    "Bytes that hosts needed and had already, verified.",
    ("model",),
)
CLEANUP_FAILURES = Instrument(
    "nodeinit_cleanup_failures_total",
    Kind.COUNTER,
    "Things that could not be given back, by their kind; `nodeinit doctor` finds them.",
    ("model", "kind"),
)
NODES = Instrument(
    "nodeinit_nodes",
    Kind.UP_DOWN,
    "Nodes that are in a state now, final states left out.",
    ("model", "state"),
)
PROGRESS_BYTES = Instrument(
    "nodeinit_progress_bytes",
    Kind.GAUGE,
    "Bytes of the download under way that are done, over all hosts of the latest node.",
    ("model",),
)
PROGRESS_TOTAL = Instrument(
    "nodeinit_progress_total_bytes",
    Kind.GAUGE,
    "Bytes of the download under way that have to be done, over all hosts of the latest node.",
    ("model",),
)

INSTRUMENTS = (
    PHASE_SECONDS,
    READY_SECONDS,
    HOOK_SECONDS,
    HOST_SECONDS,
    ATTEMPTS,
    SETBACKS,
    OUTCOMES,
    FETCHED_BYTES,
    REUSED_BYTES,
    CLEANUP_FAILURES,
    NODES,
    PROGRESS_BYTES,
    PROGRESS_TOTAL,
)
