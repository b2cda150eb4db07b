"""Reads our Mermaid back, by a grammar so strict that text of users cannot hide in it."""

from __future__ import annotations

import json
import re
from collections import Counter

import attrs

TEXT = r"(?:[^\W_]|(?<=[^\W_])[_ ](?=[^\W_])|#\d+;)+"
PROSE = r"(?:[^\W_]|(?<=[^\W_])(?:[_ '-]|, )(?=[^\W_])|#\d+;)+"
ID = r"[a-z][a-z0-9_]*"
LIST = rf"{TEXT}(?:, {TEXT})*"
WAY = re.compile(
    rf"({LIST})(?: \[(else)\]|<br/>\[({TEXT}(?:,<br/>{TEXT})*)\])?(?:<br/>/ ({LIST}))?(?:<br/>|$)"
)
ROOM = "#160;" * 4  # keeps labels apart; no text of users has such a space


@attrs.frozen
class Way:
    """One way out of a state for one event, as it is drawn."""

    source: str
    event: str
    target: str
    condition: tuple[str, ...]
    hooks: tuple[str, ...]


@attrs.define
class Picture:
    title: str = ""
    labels: dict[str, str] = attrs.field(factory=dict)
    summaries: dict[str, str] = attrs.field(factory=dict)
    box: str | None = None
    boxed: list[str] = attrs.field(factory=list)
    starts: list[str] = attrs.field(factory=list)
    ends: list[str] = attrs.field(factory=list)
    kinds: dict[str, str] = attrs.field(factory=dict)
    arrows: list[tuple[str, str]] = attrs.field(factory=list)
    ways: Counter[Way] = attrs.field(factory=Counter)


def decoded(text: str) -> str:
    return re.sub(r"#(\d+);", lambda code: chr(int(code[1])), text)


def read(source: str) -> Picture:
    """What a source draws. Fails on any line that is not of a kind which we write."""
    lines = source.removesuffix("\n").split("\n")
    assert lines[0] == "---"
    head = lines[: lines.index("---", 1)]
    assert lines[len(head) + 1] == "stateDiagram-v2"
    assert re.fullmatch(r'title: "[ -~]*"', head[1])
    assert "<" not in head[1]
    picture = Picture(title=json.loads(head[1].removeprefix("title: ")))
    inside = False
    classes: list[str] = []
    for line in lines[len(head) + 2 :]:
        text = line.removeprefix("    ")
        assert text != line
        if inside and text != "}":
            assert text.startswith("    ")
            text = text.removeprefix("    ")
        if text == "}":
            inside = False
        elif m := re.fullmatch(rf"\[\*\] --> ({ID})", text):
            picture.starts.append(m[1])
        elif m := re.fullmatch(rf"({ID}) --> \[\*\]", text):
            picture.ends.append(m[1])
        elif m := re.fullmatch(rf'state "{TEXT}" as ({ID}) {{', text):
            assert picture.box is None
            picture.box, inside = m[1], True
        elif m := re.fullmatch(rf'state "({TEXT})" as ({ID})', text):
            assert m[2] not in picture.labels
            picture.labels[m[2]] = decoded(m[1])
            if inside:
                picture.boxed.append(m[2])
        elif m := re.fullmatch(rf"({ID}) --> ({ID}) : (.+)", text):
            picture.arrows.append((m[1], m[2]))
            _ways(picture, m[1], m[2], m[3])
        elif m := re.fullmatch(rf"({ID}) : ({PROSE})", text):
            assert m[1] not in picture.summaries
            picture.summaries[m[1]] = decoded(m[2])
        elif m := re.fullmatch(r"classDef (\w+) [a-z0-9#:,-]+", text):
            classes.append(m[1])
        else:
            m = re.fullmatch(rf"class ({ID}(?:,{ID})*) (\w+)", text)
            assert m, f"unknown line {line!r}"
            assert m[2] in classes
            for id in m[1].split(","):
                assert id not in picture.kinds
                picture.kinds[id] = m[2]
    assert not inside
    return picture


def _ways(picture: Picture, source: str, target: str, label: str) -> None:
    sources = picture.boxed if source == picture.box else [source]
    lines = label.split("<br/>")
    if lines[0].startswith(ROOM):
        lines = [line.removeprefix(ROOM).removesuffix(ROOM) for line in lines]
    rest = "<br/>".join(lines)
    while rest:
        m = WAY.match(rest)
        assert m, f"not a label: {label!r}"
        rest = rest[m.end() :]
        condition = _list(m[2] or (m[3] or "").replace("<br/>", " "))
        for event in _list(m[1]):
            for one in sources:
                picture.ways[Way(one, event, target, condition, _list(m[4]))] += 1


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(decoded(item) for item in text.split(", ")) if text else ()
