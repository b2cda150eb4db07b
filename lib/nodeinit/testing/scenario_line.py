"""A scenario in one short line, to be typed and read: `gpus=2 fetch#2=temporary cancel@1`.

Every word is a field of the world (`gpus=2,2`, `tp=2`, `heal=no`), a fault (`OPERATION#CALL=KIND`,
`reserve#1=kill:a`, `reserve#1-3=lie` in each of the first three calls), an act (`WHAT@SECONDS`,
`kill:a@20`, `cancel@7.5+2` two turns of the loop later), or another callback's failure
(`on_before_init#1=permanent`). What is not said is the default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from nodeinit.clusters.simulated import SimFault
from nodeinit.errors import ConfigError
from nodeinit.testing.scenario import Act, Other, Scenario, unreadable

_ACT = re.compile(r"(\w+)(?::(\w+))?@([\d.e-]+)(?:\+(\d+))?")
_FAULT = re.compile(r"(\w+)#([1-9]\d*)(?:-([1-9]\d*))?=(\w+)(?::(\w+))?")
_EVENTS = ("faults", "acts", "others")


def to_line(scenario: Scenario) -> str:
    """The line of a scenario; of one that has no line (an odd fault), its JSON."""
    words = [
        f"{field.name}={_said(value)}"
        for field in attrs.fields(Scenario)
        if field.name not in _EVENTS and (value := getattr(scenario, field.name)) != field.default
    ]
    words += [_fault(f.op, calls(f, n), f.kind, f.node_id) for f, n in runs(scenario.faults)]
    words += [_act(act) for act in scenario.acts]
    words += [_fault(other.hook, str(other.call + 1), other.kind) for other in scenario.others]
    line = " ".join(words) or f"tp={scenario.tp}"
    try:
        return line if from_line(line) == scenario else scenario.to_json()
    except ConfigError:
        return scenario.to_json()


def from_line(text: str) -> Scenario:
    """The scenario of a line. Raises `ConfigError` for anything else."""
    data: dict[str, Any] = {}
    try:
        for word in text.split():
            _read(word, data)
        if not data:
            raise ValueError("it is empty")
        return Scenario.from_dict(data)
    except (ValueError, TypeError) as error:
        raise unreadable(text, str(error)) from None


def read_scenario(text: str) -> Scenario:
    """The scenario of a line or of JSON. Raises `ConfigError` for anything else."""
    return Scenario.from_json(text) if text.lstrip()[:1] in ("{", "[", "") else from_line(text)


def _said(value: Any) -> str:
    """A field's value as one word: spaces are `+`, and there are commas between several."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text.replace(" ", "+")


def _value(text: str, default: Any) -> Any:
    """What a word says, of the kind that the field's default is of."""
    if isinstance(default, bool):
        if text not in ("yes", "no"):
            raise ValueError(f"{text!r} is neither yes nor no")
        return text == "yes"
    if isinstance(default, int | float):
        return type(default)(text)
    plain = text.replace("+", " ")
    return plain.split(",") if isinstance(default, tuple) else plain


def runs(faults: Sequence[SimFault]) -> list[tuple[SimFault, int]]:
    """The faults, where one in call after call is one with their number."""
    found: list[tuple[SimFault, int]] = []
    for fault in faults:
        if found:
            first, count = found[-1]
            if fault == attrs.evolve(first, call=first.call + count):
                found[-1] = (first, count + 1)
                continue
        found.append((fault, 1))
    return found


def calls(first: SimFault, count: int) -> str:
    """The number of a call, from 1, or of the first and the last of several."""
    return f"{first.call + 1}" if count == 1 else f"{first.call + 1}-{first.call + count}"


def _fault(op: str, numbers: str, kind: str, node_id: str | None = None) -> str:
    return f"{op}#{numbers}={kind}" + (f":{node_id}" if node_id else "")


def _act(act: Act) -> str:
    on = f":{act.node_id}" if act.node_id else ""
    later = f"+{act.rounds}" if act.rounds else ""
    at = int(act.at) if act.at == int(act.at) else act.at
    return f"{act.what}{on}@{at}{later}"


def _read(word: str, data: dict[str, Any]) -> None:
    if found := _ACT.fullmatch(word):
        what, on, at, rounds = found.groups()
        act = Act(float(at), what, on or "", int(rounds or 0))
        data.setdefault("acts", []).append(attrs.asdict(act))
    elif found := _FAULT.fullmatch(word):
        op, first, last, kind, on = found.groups()
        for call in range(int(first) - 1, min(int(last or first), int(first) + 98)):
            if op.startswith("on_"):
                data.setdefault("others", []).append(attrs.asdict(Other(op, kind, call)))
            else:
                fault = SimFault(op, kind, call, on)
                data.setdefault("faults", []).append(attrs.asdict(fault))
    else:
        name, equals, value = word.partition("=")
        field = next((each for each in attrs.fields(Scenario) if each.name == name), None)
        if not equals or field is None or name in _EVENTS:
            raise ValueError(f"{word!r} is neither a field, a fault nor an act")
        data[name] = _value(value, field.default)
