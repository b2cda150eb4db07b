"""What Prometheus collects of a node from a real Ray."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeinit.telemetry.instruments import INSTRUMENTS

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
RARE = {"nodeinit_setbacks_total", "nodeinit_cleanup_failures_total", "nodeinit_hook_seconds"}
"""What a run without callbacks and trouble has nothing to tell of."""


def test_prometheus_finds_each_metric_by_its_name_with_its_labels(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.telemetry.scraped", str(port), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NODEINIT_STORE": str(tmp_path / "default")},
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    values: defaultdict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(done.stdout + "\n"):
        for sample in family.samples:
            values[sample.name].append((sample.labels, sample.value))
    for instrument in INSTRUMENTS:
        if instrument.name in RARE:
            continue
        for series in instrument.series:
            assert values[series], f"{series} is not there: {sorted(values)}"
            assert all(set(instrument.labels) <= set(labels) for labels, _ in values[series])
    outcomes = {labels["outcome"]: value for labels, value in values["ray_nodeinit_outcomes_total"]}
    assert {"ready": 2, "released": 2} == outcomes
    assert [718142] == [value for _, value in values["ray_nodeinit_fetched_bytes_total"]]
    assert [718142] == [value for _, value in values["ray_nodeinit_reused_bytes_total"]]
    assert {0} == {value for _, value in values["ray_nodeinit_nodes"]}
    phases = {labels["phase"] for labels, _ in values["ray_nodeinit_phase_seconds_count"]}
    assert {"config", "download", "placement", "releasing"} == phases
