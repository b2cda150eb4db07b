"""Records of a node's steps, for people and for programs."""

from __future__ import annotations

import json
import logging

import pytest

from nodeinit import TemporaryError
from nodeinit.clusters.simulated import SimFault
from nodeinit.telemetry import JsonFormatter
from nodeinit.telemetry.logs import FIELDS
from tests.telemetry.observed import Slow, observed, timed


class Leaky:
    def on_before_placement(self, ctx: object) -> None:
        raise TemporaryError("denied: HF_TOKEN=hf_abcdefghijklmnopqrstuvwx")


def test_each_change_is_a_record_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nodeinit.node")
    observed(callback=Slow, sim=timed(faults=[SimFault("fetch", "temporary")]))
    records = [r for r in caplog.records if r.name == "nodeinit.node"]
    assert ["config", "download", "backoff", "download", "placement", "ready"] == [
        record.__dict__["phase"] for record in records
    ][:6]
    assert all(set(FIELDS) <= set(vars(record)) for record in records)
    setback = records[2]
    assert (logging.WARNING, "node", "errored", "error", 1) == (
        setback.levelno,
        *(vars(setback)[name] for name in ("node", "event", "reason", "attempt")),
    )
    assert "failed for the moment" in setback.getMessage()
    assert (logging.INFO, 2) == (records[3].levelno, vars(records[3])["attempt"])


def test_as_json_and_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "nodeinit.node")
    observed(callback=Leaky)
    records = [r for r in caplog.records if r.name == "nodeinit.node"]
    lines = [JsonFormatter().format(record) for record in records]
    read = [json.loads(line) for line in lines]
    # Where Ray was in this process, its own fields are there too.
    assert {"time", "level", "logger", "message", *FIELDS} <= set(read[0])
    assert all("\n" not in line and "hf_abc" not in line for line in lines)
    assert any("denied" in line["message"] for line in read)
    assert "failed" == read[-1]["phase"] and "error" == read[-1]["level"]


def test_any_record_can_be_a_line_of_json() -> None:
    try:
        raise ValueError("password=hunter2hunter2")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f.py", 1, "it is %s", ("bad",), __import__("sys").exc_info()
        )
    record.api_key = "abc"
    record.thing = object()
    line = json.loads(JsonFormatter().format(record))
    assert "it is bad" == line["message"] and "***" == line["api_key"]
    assert "ValueError" in line["exception"] and "hunter2" not in line["exception"]
