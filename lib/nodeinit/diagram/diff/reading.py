"""A machine's canonical form from a file: `nodeinit diagram -o x.json` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm.events import Event, Frame

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_NAME_OR_NONE = {"type": ["string", "null"]}


def _record(**keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(keys), "properties": keys}


_EDGE = _record(
    **{"from": _TEXTS, "on": {"type": "array", "items": {"enum": [str(e) for e in Event]}}},
    to=_TEXT,
    guards=_TEXTS,
    hooks=_TEXTS,
    assign=_NAME_OR_NONE,
    observes={"type": "boolean"},
)
_PHASE = _record(state=_TEXT, activity=_TEXT, acquires=_TEXTS, summary=_TEXT)
_MACHINE = _record(
    name=_TEXT,
    initial=_TEXT,
    goal=_TEXT,
    states=_TEXTS,
    phases={"type": "array", "items": _PHASE},
    edges={"type": "array", "items": _EDGE},
    watch=_NAME_OR_NONE,
    undo={"type": "object", "additionalProperties": _TEXT},
    hooks=_TEXTS,
)


def read(path: Path) -> dict[str, Any]:
    """The canonical form that a file holds. Raises `ConfigError` naming what is wrong, and where."""
    try:
        machine = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            Fault("machine", f"cannot be read: {error.strerror}", repr(str(path)))
        ) from error
    except ValueError as error:
        remedy = "write one with `nodeinit diagram MACHINE -o machine.json`"
        problem = f"is not JSON: {error}"
        raise ConfigError(Fault("machine", problem, remedy=remedy), source=str(path)) from error
    faults = list(_faults(machine))
    if faults:
        raise ConfigError(faults, source=str(path))
    found: dict[str, Any] = machine
    return found


def _faults(machine: Any) -> Iterator[Fault]:
    # Here and not above: whoever only draws need not wait for it.
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(_MACHINE).iter_errors(machine), key=lambda e: e.json_path)
    yield from (Fault(error.json_path, error.message) for error in errors)
    if errors:
        return
    states = set(machine["states"])
    phases = {phase["state"] for phase in machine["phases"]}
    known = {*phases, machine["initial"], machine["goal"], *map(str, Frame)}
    used = {"$.initial": [machine["initial"]], "$.goal": [machine["goal"]], "$.phases": phases}
    for number, edge in enumerate(machine["edges"]):
        used[f"$.edges[{number}]"] = [*edge["from"], edge["to"]]
    for where, names in used.items():
        for name in names:
            if name not in states:
                yield Fault(where, "is not among the states of this machine", repr(name))
    for name in sorted(states - known):
        yield Fault("$.states", "is neither a phase nor a state that every machine has", repr(name))
    for number, phase in enumerate(machine["phases"]):
        for kind in phase["acquires"]:
            if kind not in machine["undo"]:
                yield Fault(f"$.phases[{number}].acquires", "has no undo", repr(kind))
