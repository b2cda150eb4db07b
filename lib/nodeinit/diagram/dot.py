"""A machine in the language of Graphviz, for people whose pages are made of that."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.ir import Diagram, State, StateKind

# Graphviz knows the widths of this one wherever it runs, also where there are no fonts.
_FONT = 'fontname="Helvetica"'
_COLOURS = {
    StateKind.START: ("#f1f5f9", "#64748b"),
    StateKind.PHASE: ("#dbeafe", "#2563eb"),
    StateKind.WAIT: ("#fef3c7", "#d97706"),
    StateKind.GOAL: ("#dcfce7", "#16a34a"),
    StateKind.UNDO: ("#ffedd5", "#ea580c"),
    StateKind.FINAL: ("#f1f5f9", "#475569"),
}
_ROW = (StateKind.START, StateKind.PHASE, StateKind.GOAL)
_INTO = {StateKind.WAIT: "#d97706", StateKind.UNDO: "#dc2626"}


def render_dot(diagram: Diagram) -> str:
    """The source of a drawing by Graphviz, ready for `dot -Tsvg`."""
    arrows = arrows_of(diagram)
    boxed = any(arrow.source is None for arrow in arrows)
    body = [
        "rankdir=LR",
        "compound=true",
        "nodesep=0.5",
        "ranksep=0.4",
        f"label={_quoted(diagram.title)}",
        "labelloc=t",
        _FONT,
        f'node [shape=box, style="rounded,filled", fontsize=11, {_FONT}]',
        f"edge [fontsize=9, {_FONT}]",
        'start [shape=circle, label="", width=0.15, style=filled, fillcolor=black]',
    ]
    outside = [s for s in diagram.states if not (boxed and s.kind is StateKind.PHASE)]
    body += [_node(state) for state in outside]
    if boxed:
        inside = "; ".join(_node(state) for state in diagram.phases)
        body.append(
            f'subgraph cluster_phases {{ label="phases"; style="rounded,dashed"; {inside} }}'
        )
    body.append(f"start -> {_id(diagram.initial)}")
    body += [_edge(arrow, diagram) for arrow in arrows]
    return "\n".join(["digraph {", *(f"    {line};" for line in body), "}"]) + "\n"


def _id(id: str) -> str:
    # A name of our own, so that none is a word of Graphviz's.
    return f"s_{id}"


def _node(state: State) -> str:
    fill, line = _COLOURS[state.kind]
    twice = ", peripheries=2" if state.kind is StateKind.FINAL else ""
    lines = [state.label]
    if state.kind not in (StateKind.START, StateKind.FINAL) and state.summary:
        lines.append(state.summary)
    label = _quoted("\n".join(lines))
    return f'{_id(state.id)} [label={label}, fillcolor="{fill}", color="{line}"{twice}]'


def _edge(arrow: Arrow, diagram: Diagram) -> str:
    # Out of the box an arrow starts at its last phase: what it leads to is then placed behind the
    # box. Of two states at the same height Graphviz would draw the labels both ways on one place.
    source = diagram.phases[-1].id if arrow.source is None else arrow.source
    target = diagram.state(arrow.target)
    look = [f"label={_quoted(chr(10).join(_lines(arrow)))}"]
    if arrow.source is None:
        look.append('ltail="cluster_phases"')
    if arrow.source is not None and diagram.state(arrow.source).kind is StateKind.WAIT:
        look += ["constraint=false"] if target.kind in _ROW else []
    if target.kind in _INTO:
        colour = _INTO[target.kind]
        look.append(f'color="{colour}", fontcolor="{colour}", style=dashed')
    return f"{_id(source)} -> {_id(target.id)} [{', '.join(look)}]"


def _lines(arrow: Arrow) -> Iterator[str]:
    for way in arrow.ways:
        yield ", ".join(way.events) + (" [else]" if way.otherwise else "")
        yield from (f"[{guard}]" for guard in way.guards)
        yield from (f"/ {hook}" for hook in way.hooks)


def _quoted(text: str) -> str:
    """A text as Graphviz reads it back: it takes entities, and escapes of its own, for commands."""
    safe = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + safe.replace("\n", "\\n") + '"'
