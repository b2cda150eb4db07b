"""The Graphviz source: every state and edge once, whatever they are called; and Graphviz takes it."""

from __future__ import annotations

import html
import itertools
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from nodeinit.diagram import diagram_of, graphviz, to_dot, write
from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.plan.canvas import Box
from nodeinit.errors import ConfigError
from nodeinit.fsm.definition import Definition
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL, definitions
from tests.diagram.test_great import BACK, ODD, SVG, overlap

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
    last = diagram.phases[-1].id
    edges = Counter(
        (source, target, tuple(read(label).split("\n")), bool(box))
        for source, target, label, box in _EDGE.findall(text)
    )
    assert edges == Counter(
        (arrow.source or last, arrow.target, said(arrow), arrow.source is None)
        for arrow in arrows_of(diagram)
    )


INSTALLED = pytest.mark.skipif(graphviz.program() is None, reason="Graphviz is not installed")
MACHINES = pytest.mark.parametrize(
    "definition", [NODE_INIT, SMALL, BACK, ODD], ids=lambda d: d.name[:8]
)


@INSTALLED
@MACHINES
def test_graphviz_draws_it(definition: Definition) -> None:
    root = ET.fromstring(graphviz.drawn(to_dot(definition), "svg"))

    kinds = Counter(element.get("class") for element in root.iter(f"{SVG}g"))
    assert kinds["edge"] == len(arrows_of(diagram_of(definition))) + 1
    assert kinds["node"] == len(diagram_of(definition).states) + 1


@INSTALLED
@pytest.mark.parametrize("definition", [NODE_INIT, SMALL])
def test_no_label_is_drawn_on_another(definition: Definition) -> None:
    labels = list(drawn_labels(ET.fromstring(graphviz.drawn(to_dot(definition), "svg"))))

    assert len(labels) == len(arrows_of(diagram_of(definition)))
    for one, two in itertools.combinations(labels, 2):
        assert not overlap(one, two, by=2), (one, two)


def drawn_labels(root: ET.Element) -> Iterator[Box]:
    """The labels of arrows, as wide as their text is at least, in points."""
    for edge in root.iter(f"{SVG}g"):
        lines = edge.findall(f"{SVG}text") if edge.get("class") == "edge" else []
        if lines:
            size = 9.0
            wide = max(len(line.text or "") for line in lines) * size * 0.45
            x, y = float(lines[0].get("x", 0)), float(lines[0].get("y", 0))
            yield Box(x - wide / 2, y - size, wide, size * len(lines))


@INSTALLED
@pytest.mark.parametrize(
    ("name", "begins"), [("m.png", b"\x89PNG"), ("m.pdf", b"%PDF"), ("m.dot.svg", b"<?xml")]
)
def test_a_suffix_has_graphviz_draw(name: str, begins: bytes, tmp_path: Path) -> None:
    write(SMALL, tmp_path / name)

    assert (tmp_path / name).read_bytes().startswith(begins)


def test_where_it_is_not_installed_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphviz, "program", lambda: None)
    with pytest.raises(ConfigError, match=r"not installed; install Graphviz.*nodeinit\[graphviz\]"):
        write(SMALL, tmp_path / "m.png")

    write(SMALL, tmp_path / "m.dot")
    assert [path.name for path in tmp_path.iterdir()] == ["m.dot"]


@INSTALLED
def test_what_graphviz_says_is_told() -> None:
    with pytest.raises(ConfigError, match=r"could not draw: .*syntax error"):
        graphviz.drawn("digraph {", "svg")
