"""A machine as a Mermaid state diagram, which GitHub and most documentation tools can draw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from nodeinit.diagram.arrows import Way, arrows_of
from nodeinit.diagram.ir import Diagram, State, StateKind
from nodeinit.diagram.names import encoded, free

BOX = "phases"

# Dark text on pale grounds: readable on white pages and on black ones.
COLOURS = {
    StateKind.START: "fill:#f1f5f9,stroke:#64748b,color:#0f172a",
    StateKind.PHASE: "fill:#dbeafe,stroke:#2563eb,color:#172554",
    StateKind.WAIT: "fill:#fef3c7,stroke:#d97706,color:#451a03",
    StateKind.GOAL: "fill:#dcfce7,stroke:#16a34a,color:#052e16,stroke-width:3px",
    StateKind.UNDO: "fill:#ffedd5,stroke:#ea580c,color:#431407",
    StateKind.FINAL: "fill:#f1f5f9,stroke:#475569,color:#0f172a,stroke-width:3px",
}

# Mermaid's own 50 is so tight that labels overlap and the first phase covers the head of the box.
_SPACING = ("config:", "  state:", "    nodeSpacing: 70", "    rankSpacing: 70")

# Beside an arrow out of the box to the same state: its label is not where Mermaid makes place for
# it, and would cover the end of this one.
_ROOM = "#160;" * 4

# The names of these say it all.
_WITHOUT_SUMMARY = {StateKind.START, StateKind.FINAL}

# In running text these need no escape; a name is taken word by word.
_WORDS = re.compile(r"[^\W_]+(?:[_ ][^\W_]+)*")
_PROSE = re.compile(r"[^\W_]+(?:(?:[_ '-]|, )[^\W_]+)*")
# Mermaid takes any line that holds these words for a statement of its own.
_DIRECTION = re.compile(r"(?<=direction) (?=tb|bt|lr|rl)", re.IGNORECASE)


def render_mermaid(diagram: Diagram, active: str | None = None, nested: bool = True) -> str:
    """The Mermaid source of a diagram, ready for a `.mmd` file or a `mermaid` block.

    The state with the name `active` stands out. What all phases do alike leads out of a box around
    them, unless it is not to be `nested`.
    """
    arrows = arrows_of(diagram, nested)
    out_of_box = {arrow.target for arrow in arrows if arrow.source is None}
    inside = [state for state in diagram.phases if out_of_box]
    taken = {state.id for state in diagram.states}
    box = free(BOX, taken) if BOX in taken else BOX

    body = [f"[*] --> {diagram.initial}"]
    body += [line for s in diagram.states if s not in inside for line in _state(s)]
    if inside:
        body.append(f'state "{BOX}" as {box} {{')
        body += [f"    {line}" for state in inside for line in _state(state)]
        body.append("}")
    for arrow in arrows:
        crowded = arrow.source in {s.id for s in inside} and arrow.target in out_of_box
        label = _label(arrow.ways, _ROOM if crowded else "")
        body.append(f"{arrow.source or box} --> {arrow.target} : {label}")
    body += [f"{s.id} --> [*]" for s in diagram.states if s.kind is StateKind.FINAL]
    body += _classes(diagram.states)
    body += _active(diagram.states, active)
    head = ["---", f"title: {_yaml(diagram.title)}", *_SPACING, "---", "stateDiagram-v2"]
    return "\n".join([*head, *(f"    {line}" for line in body)]) + "\n"


def escape(text: str, plain: re.Pattern[str] = _WORDS) -> str:
    """`text` for a label: whatever could mean something to Mermaid or to Markdown as an entity."""
    return _DIRECTION.sub(_entity, encoded(text, plain, _entity))


def _entity(char: str | re.Match[str]) -> str:
    return f"#{ord(char[0])};"


def _yaml(text: str) -> str:
    # JSON is YAML; an unescaped < would be taken for a tag, whose quotes Mermaid rewrites.
    return json.dumps(text).replace("<", "\\u003c")


def _state(state: State) -> Iterator[str]:
    yield f'state "{escape(state.label)}" as {state.id}'
    if state.summary and state.kind not in _WITHOUT_SUMMARY:
        yield f"{state.id} : {escape(state.summary, _PROSE)}"


def _label(ways: Iterable[Way], room: str) -> str:
    lines = []
    for way in ways:
        otherwise = " [else]" if way.otherwise else ""
        lines.append(", ".join(map(escape, way.events)) + otherwise)
        if way.guards:
            # One a line, narrow: Mermaid would break them anyway, but leave the label wide.
            lines += f"[{',|'.join(map(escape, way.guards))}]".split("|")
        if way.hooks:
            lines.append(f"/ {', '.join(map(escape, way.hooks))}")
    return "<br/>".join(f"{room}{line}{room}" for line in lines)


def _classes(states: tuple[State, ...]) -> Iterator[str]:
    # At the end: only there do class statements reach the states inside of the box too.
    kinds = {state.kind for state in states}
    for kind in StateKind:
        if kind in kinds:
            yield f"classDef {kind} {COLOURS[kind]}"
    for kind in StateKind:
        if kind in kinds:
            yield f"class {','.join(s.id for s in states if s.kind is kind)} {kind}"


def _active(states: tuple[State, ...], name: str | None) -> Iterator[str]:
    # A class of its own, after the others: the state keeps the colours of its kind.
    for state in states:
        if state.name == name:
            yield "classDef active stroke-width:5px,font-weight:bold"
            yield f"class {state.id} active"
