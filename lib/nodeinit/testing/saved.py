"""Failures on disk: what `nodeinit check --save` writes, and `nodeinit replay` and `replay` read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from nodeinit.diagram.writing import write_text
from nodeinit.errors import ConfigError, Fault
from nodeinit.testing.report import CheckReport
from nodeinit.testing.reporting.paste import home_of
from nodeinit.testing.scenario import Scenario


@attrs.frozen
class Saved:
    """A failure that was found once: everything that it takes to run it again."""

    callback: str
    check: str
    scenario: Scenario
    kwargs: Mapping[str, Any] = attrs.field(factory=dict)
    machine: str = ""
    message: str = ""
    events: tuple[Mapping[str, Any], ...] = ()


def save(report: CheckReport, directory: Path | str) -> list[Path]:
    """Write each failure that has a scenario to a file; the same failure has the same name."""
    made = []
    for failure in filter(lambda found: found.events, report.failures):
        data = {"callback": report.callback, **failure.to_dict()}
        kind = home_of(report.callback)[1]
        name = f"{kind}-{failure.check}-{_digest(failure.scenario)}".replace(":", "-")
        path = Path(directory) / f"{name.replace('<', '').replace('>', '')}.json"
        write_text(path, json.dumps(data, indent=2) + "\n")
        made.append(path)
    return made


def load(path: Path | str) -> list[Saved]:
    """The failures of a file that `save` wrote, or of a report in JSON.

    Raises `ConfigError` for a file that is neither or cannot be read.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from None
    if not holds_failures(data):
        raise _unreadable(path, "it has neither a scenario nor failures")
    found = data.get("failures", [data])
    try:
        return [_read(item, item.get("callback", data.get("callback", ""))) for item in found]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None


def holds_failures(data: Any) -> bool:
    """Whether data that was read from a file is of ours (and no journal)."""
    return isinstance(data, dict) and ("failures" in data or {"check", "scenario"} <= set(data))


def _read(item: Mapping[str, Any], callback: str) -> Saved:
    return Saved(
        callback=callback,
        check=item["check"],
        scenario=Scenario.from_dict(item["scenario"]),
        kwargs=dict(item.get("kwargs", {})),
        machine=item.get("machine", ""),
        message=item.get("message", ""),
        events=tuple(item.get("events", ())),
    )


def _digest(scenario: Scenario) -> str:
    return hashlib.sha256(scenario.to_json().encode()).hexdigest()[:8]


def _unreadable(path: Path | str, why: str) -> ConfigError:
    remedy = "give a file that `nodeinit check --save` or `--report json` wrote"
    return ConfigError(Fault("saved failure", f"cannot be read: {why}", repr(str(path)), remedy))
