"""The Grafana dashboard names what there is, and shows all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nodeinit.cli.main import cli
from nodeinit.telemetry import dashboard
from nodeinit.telemetry.instruments import INSTRUMENTS

NAME = re.compile(r"\bray_[a-z_]+")


@pytest.fixture
def board() -> dict[str, Any]:
    """It as the program prints it."""
    result = CliRunner().invoke(cli, ["telemetry", "dashboard"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def queries(board: dict[str, Any]) -> list[tuple[str, str]]:
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    return [(target["expr"], target["legendFormat"]) for target in targets]


def test_every_metric_that_it_names_exists_and_every_one_is_shown(board: dict[str, Any]) -> None:
    exist = {name for instrument in INSTRUMENTS for name in instrument.series}
    named = set(NAME.findall(json.dumps(board)))
    assert named <= exist
    for instrument in INSTRUMENTS:
        assert named & set(instrument.series), f"{instrument.name} is not on the dashboard"


def test_labels_are_those_of_the_instruments(board: dict[str, Any]) -> None:
    by_series = {name: i for i in INSTRUMENTS for name in i.series}
    for expr, legend in queries(board):
        used = [by_series[name] for name in NAME.findall(expr)]
        for found in re.findall(r"sum by \(([^)]*)\)", expr):
            for label in set(found.split(", ")) - {"le"}:
                assert all(label in instrument.labels for instrument in used), (expr, label)
        for label in re.findall(r"{{(\w+)}}", legend):
            assert label in expr.split("sum by (", 1)[1], (expr, legend)
        assert expr.count("(") == expr.count(")") and expr.count("[") == expr.count("]")


def test_panels_do_not_lie_on_each_other(board: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in board["panels"])
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_a_query_of_what_a_metric_has_not_is_refused() -> None:
    counter = next(i for i in INSTRUMENTS if i.kind == "counter")
    with pytest.raises(ValueError, match="has no series"):
        dashboard._series(counter, "_bucket")


def test_it_is_written_to_a_file_or_says_why_not(tmp_path: Path, board: dict[str, Any]) -> None:
    run = CliRunner().invoke
    assert run(cli, ["telemetry", "dashboard", "-o", str(tmp_path / "d.json")]).exit_code == 0
    assert board == json.loads((tmp_path / "d.json").read_text())
    failed = run(cli, ["telemetry", "dashboard", "-o", str(tmp_path / "no" / "d.json")])
    assert failed.exit_code and "cannot be written: No such file" in failed.output


def test_the_metrics_are_listed() -> None:
    lines = CliRunner().invoke(cli, ["telemetry", "metrics"]).output
    rows = json.loads(CliRunner().invoke(cli, ["telemetry", "metrics", "--json"]).output)
    assert len(rows) == len(INSTRUMENTS) and all(row["name"] in lines for row in rows)
