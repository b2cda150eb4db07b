"""The Grafana dashboard, made from the instruments: it can name no metric that there is not.

`nodeinit telemetry dashboard` prints it. Ray's own Grafana shows whatever JSON lies in
`/tmp/ray/session_latest/metrics/grafana/dashboards`; any other takes it by Import, or provisioned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from nodeinit.telemetry import instruments as of
from nodeinit.telemetry.instruments import Instrument

UID = "nodeinit"
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'model=~"$model"'


@attrs.frozen
class Panel:
    """One graph: queries in PromQL with what to call their series; `unit` is Grafana's word."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"


def _series(instrument: Instrument, end: str = "") -> str:
    """A metric as Prometheus knows it, of the chosen models."""
    wanted = f"ray_{instrument.name}{end}"
    if wanted not in instrument.series:
        raise ValueError(f"{instrument.name} has no series {wanted}")
    return f"{wanted}{{{_CHOSEN}}}"


def _quantile(share: float, instrument: Instrument, *by: str) -> str:
    # Nodes start rarely: a window of the whole view, where a short one would mostly be empty.
    labels = ", ".join(("le", *by))
    grown = f"increase({_series(instrument, '_bucket')}[$__range])"
    return f"histogram_quantile({share}, sum by ({labels}) ({grown}))"


def _mean(instrument: Instrument, *by: str) -> str:
    labels = ", ".join(by)
    total, number = (
        f"sum by ({labels}) (increase({_series(instrument, end)}[$__range]))"
        for end in ("_sum", "_count")
    )
    return f"{total} / {number}"


def _grown(instrument: Instrument, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (increase({_series(instrument)}[$__rate_interval]))"


def _now(instrument: Instrument, *by: str) -> str:
    return f"sum by ({', '.join(by)}) ({_series(instrument)})"


PANELS = (
    Panel(
        "Nodes by state",
        "How many nodes are in which state now.",
        ((_now(of.NODES, "state"), "{{state}}"),),
    ),
    Panel(
        "Download under way",
        "How much of the models that are being fetched is there.",
        (
            (
                f"{_now(of.PROGRESS_BYTES, 'model')} / {_now(of.PROGRESS_TOTAL, 'model')}",
                "{{model}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel(
        "Time to ready",
        "From the start of a node, or from a loss, until it is ready.",
        (
            (_quantile(0.5, of.READY_SECONDS, "kind"), "{{kind}}: median"),
            (_quantile(0.95, of.READY_SECONDS, "kind"), "{{kind}}: 95 %"),
        ),
        unit="s",
    ),
    Panel(
        "Where the time goes",
        "Mean time of a visit of each phase, backoff and releasing among them.",
        ((_mean(of.PHASE_SECONDS, "phase"), "{{phase}}"),),
        unit="s",
    ),
    Panel(
        "Outcomes",
        "Nodes that came to be ready, failed, were cancelled or released.",
        ((_grown(of.OUTCOMES, "outcome", "reason"), "{{outcome}} ({{reason}})"),),
    ),
    Panel(
        "Setbacks",
        "Phases that did not come to their end, by class of the reason.",
        ((_grown(of.SETBACKS, "phase", "reason"), "{{phase}}: {{reason}}"),),
    ),
    Panel(
        "Tries",
        "Tries of each phase, the first and every other.",
        ((_grown(of.ATTEMPTS, "phase"), "{{phase}}"),),
    ),
    Panel(
        "Bytes",
        "What moved to hosts, and what they had already.",
        (
            (_grown(of.FETCHED_BYTES, "model"), "{{model}}: moved"),
            (_grown(of.REUSED_BYTES, "model"), "{{model}}: there already"),
        ),
        unit="bytes",
    ),
    Panel(
        "Download per host",
        "How long a host takes until it has its files, verified.",
        (
            (_quantile(0.5, of.HOST_SECONDS, "model"), "{{model}}: median"),
            (_quantile(0.95, of.HOST_SECONDS, "model"), "{{model}}: 95 %"),
        ),
        unit="s",
    ),
    Panel(
        "Hooks",
        "How long callbacks' hooks take.",
        ((_quantile(0.95, of.HOOK_SECONDS, "hook", "outcome"), "{{hook}} ({{outcome}}): 95 %"),),
        unit="s",
    ),
    Panel(
        "Not given back",
        "What could not be given back; `nodeinit doctor` finds it, and `--sweep` removes it.",
        ((_grown(of.CLEANUP_FAILURES, "kind"), "{{kind}}"),),
    ),
)


def dashboard(panels: Sequence[Panel] = PANELS) -> dict[str, Any]:
    """The dashboard as Grafana takes it (schema 39, of Grafana 11; older ones upgrade it)."""
    return {
        "uid": UID,
        "title": "nodeinit",
        "description": "LLM serving nodes on Ray on their way to ready, and after.",
        "tags": ["ray", "llm"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(), _model()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "refresh": 1}


def _model() -> dict[str, Any]:
    (name,) = of.OUTCOMES.series
    query = f"label_values({name}, model)"
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "model"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    across = _COLUMNS // _WIDTH
    row, column = divmod(number, across)
    targets = [
        {"refId": chr(ord("A") + i), "expr": expr, "legendFormat": legend, "datasource": _SOURCE}
        for i, (expr, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": targets,
    }
