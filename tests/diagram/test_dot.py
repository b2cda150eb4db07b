"""The Graphviz source: every state and edge once, whatever they are called; and Graphviz takes it."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections import Counter

import pytest
from hypothesis import example, given, settings

from nodeinit.diagram import diagram_of, to_dot
from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.fsm.definition import Definition
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL, definitions
from tests.diagram.test_great import BACK, ODD

_TEXT = r'"((?:[^"\\]|\\.)*)"'
_NODE = re.compile(rf"s_(\w+) \[label={_TEXT}, fillcolor")
_EDGE = re.compile(rf"s_(\w+) -> s_(\w+) \[label={_TEXT}(, ltail)?")


def read(text: str) -> str:
    """What Graphviz shows for the inside of a quoted string."""
    pieces = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
    return html.unescape(pieces)


def said(arrow: Arrow) -> tuple[str, ...]:
    return tuple(
        line
        for way in arrow.ways
        for line in (
            ", ".join(way.events) + (" [else]" if way.otherwise else ""),
            *(f"[{guard}]" for guard in way.guards),
            *(f"/ {hook}" for hook in way.hooks),
        )
    )


@settings(deadline=None)
@given(definitions())
@example(SMALL)
@example(BACK)
@example(NODE_INIT)
@example(ODD)
def test_every_state_and_edge_is_there_once(definition: Definition) -> None:
    diagram = diagram_of(definition)
    text = to_dot(definition)

    nodes = [(id, read(label).split("\n")[0]) for id, label in _NODE.findall(text)]
    assert Counter(nodes) == Counter((state.id, state.label) for state in diagram.states)
    middle = diagram.phases[len(diagram.phases) // 2].id
    edges = Counter(
        (source, target, tuple(read(label).split("\n")), bool(box))
        for source, target, label, box in _EDGE.findall(text)
    )
    assert edges == Counter(
        (arrow.source or middle, arrow.target, said(arrow), arrow.source is None)
        for arrow in arrows_of(diagram)
    )


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("definition", [NODE_INIT, SMALL, BACK, ODD], ids=lambda d: d.name[:8])
def test_graphviz_draws_it(definition: Definition) -> None:
    drawn = subprocess.run(
        ["dot", "-Tsvg"], input=to_dot(definition).encode(), capture_output=True, timeout=60
    )

    assert drawn.returncode == 0, drawn.stderr.decode()
    assert not drawn.stderr, drawn.stderr.decode()
    shown = drawn.stdout.decode()
    assert shown.count('class="edge"') == len(arrows_of(diagram_of(definition))) + 1
