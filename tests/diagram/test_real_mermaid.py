"""Mermaid itself takes what we write, and draws all of it: title, states, arrows, where a run is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from nodeinit.diagram import StateKind, diagram_of, to_mermaid
from nodeinit.diagram.arrows import arrows_of
from nodeinit.fsm.definition import Definition
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL
from tests.diagram.test_great import ALIKE, BACK, ODD, SVG

mermaidx = pytest.importorskip("mermaidx", reason="Mermaid is not installed (mermaidx)")

# Each takes Mermaid seconds.
MACHINES = pytest.mark.parametrize(
    ("definition", "nested"),
    [
        pytest.param(NODE_INIT, True, id="node_init"),
        pytest.param(ODD, True, id="odd names", marks=pytest.mark.slow),
        pytest.param(NODE_INIT, False, id="flat", marks=pytest.mark.slow),
        pytest.param(SMALL, False, id="small, flat", marks=pytest.mark.slow),
        pytest.param(BACK, True, id="back", marks=pytest.mark.slow),
        pytest.param(ALIKE, True, id="alike", marks=pytest.mark.slow),
        pytest.param(ODD, False, id="odd names, flat", marks=pytest.mark.slow),
    ],
)


@MACHINES
def test_mermaid_draws_all_of_it(definition: Definition, nested: bool) -> None:
    diagram = diagram_of(definition)
    active = diagram.phases[-1]
    root = drawn(to_mermaid(definition, active.name, nested))
    nodes = {id: kinds for element in root.iter(f"{SVG}g") for id, kinds in node(element)}

    assert set(nodes) == {state.id for state in diagram.states}
    for state in diagram.states:
        assert state.kind in nodes[state.id]
    assert [id for id, kinds in nodes.items() if "active" in kinds] == [active.id]
    ends = sum(state.kind is StateKind.FINAL for state in diagram.states)
    paths = [
        path for path in root.iter(f"{SVG}path") if "transition" in path.get("class", "").split()
    ]
    assert len(paths) == len(arrows_of(diagram, nested)) + 1 + ends
    said = Counter("".join("".join(root.itertext()).split()))
    for state in diagram.states:
        if "ﬂ°°" in state.label:  # which is how Mermaid itself writes an entity meanwhile
            continue
        shown = Counter(re.sub(r"\s", "", state.label))
        assert not shown - said, f"{state.label!r} is not there"
    assert re.sub(r"\s", "", definition.name) in re.sub(r"\s", "", "".join(root.itertext()))


def test_it_would_say_what_it_does_not_take() -> None:
    with pytest.raises(Exception, match=r"(?i)parse error"):
        drawn(to_mermaid(SMALL).replace("-->", "-> ->", 1))


def drawn(source: str) -> ET.Element:
    return ET.fromstring(mermaidx.render(source).svg())


def node(element: ET.Element) -> list[tuple[str, set[str]]]:
    """The id of the state that an element draws, and the classes that it has."""
    found = re.search(r"state-(\w+)-\d+$", element.get("id", ""))
    kinds = set(element.get("class", "").split())
    if found is None or "node" not in kinds or found[1].startswith("root_"):
        return []
    return [(found[1], kinds)]
