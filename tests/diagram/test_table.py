from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from nodeinit.diagram import StateKind, diagram_of, to_table
from nodeinit.diagram.ir import Diagram, Single
from nodeinit.diagram.table import code, prose
from nodeinit.fsm.definition import Definition
from tests.diagram.machines import ODD_NAMES, SMALL, definitions

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def seen(tokens: Sequence[Token]) -> str:
    """What a reader sees of inline Markdown; fails on markup that we do not write."""
    text = ""
    for token in tokens:
        if token.type == "html_inline":
            assert token.content in ("<br>", "<code>", "</code>")
            text += "\n" if token.content == "<br>" else ""
        else:
            assert token.type in ("text", "text_special", "code_inline", "softbreak"), token
            text += token.content
    return text


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table of a page, as a reader sees them."""
    found: list[list[list[str]]] = []
    tokens = MARKDOWN.parse(page)
    for before, token in itertools.pairwise(tokens):
        if before.type == "table_open":
            found.append([])
        if before.type == "tr_open":
            found[-1].append([])
        if before.type in ("th_open", "td_open"):
            found[-1][-1].append(seen(token.children or []))
    return found


def shown(diagram: Diagram, way: Single) -> str:
    guards = f" [{', '.join(way.guards)}]" if way.guards else ""
    otherwise = " otherwise" if way.otherwise else ""
    return f"→ {diagram.state(way.target).label}{guards}{otherwise}"


@settings(deadline=None)
@given(definitions())
@example(SMALL)
def test_the_matrix_holds_every_way_in_order(definition: Definition) -> None:
    diagram = diagram_of(definition)
    head, *rows = tables(to_table(definition))[1]

    assert head == ["state", *diagram.events]
    states = [state for state in diagram.states if state.kind is not StateKind.FINAL]
    assert [row[0] for row in rows] == [state.label for state in states]
    for state, row in zip(states, rows, strict=True):
        for event, cell in zip(diagram.events, row[1:], strict=True):
            ways = [w for w in diagram.singles() if (w.source, w.event) == (state.id, event)]
            expected = [shown(diagram, way) for way in dict.fromkeys(ways)]
            assert cell.split("\n") == (expected or [""])


@settings(deadline=None)
@given(definitions())
@example(SMALL)
def test_the_states_say_what_they_do(definition: Definition) -> None:
    diagram = diagram_of(definition)
    _, *rows = tables(to_table(definition))[0]

    assert [row[0] for row in rows] == [s.label for s in diagram.states]
    assert [row[2] for row in rows] == [s.summary for s in diagram.states]


@settings(deadline=None)
@given(definitions())
@example(SMALL)
def test_every_hook_is_listed_with_every_edge_that_fires_it(definition: Definition) -> None:
    diagram = diagram_of(definition)
    hooks = tables(to_table(definition))[2]

    expected = sorted(hook for way in diagram.singles() for hook in way.hooks)
    expected += sorted(diagram.host_hooks)
    fired = len(expected) - len(diagram.host_hooks)
    assert sorted(row[0] for row in hooks[1 : fired + 1]) == expected[:fired]
    assert sorted(row[0] for row in hooks[fired + 1 :]) == expected[fired:]


@settings(deadline=None)
@given(st.text().filter(str.isprintable) | st.sampled_from(ODD_NAMES).filter(str.isprintable))
def test_text_reads_as_it_was_written(text: str) -> None:
    for written in (code(text), prose(text)):
        inline = MARKDOWN.parseInline(f"x{written}x")[0].children or []
        assert seen(inline) == f"x{text}x"
        assert not re.search(r"[|\n\\*]", written)


def test_hooks_that_observe_are_told_from_those_that_can_stop_the_machine() -> None:
    page = to_table(SMALL)

    assert "| `on_start` | `idle` → `fetch` on `start` | the event is `errored` |" in page
    assert "| `on_failed` | `releasing` → `failed` on `undone` | nothing changes: it observ" in page
    assert "| `on_site` | in an activity, on every host | the activity fails |" in page


def test_a_phase_lists_what_it_acquires() -> None:
    assert "| `crane`, undone by `give_back`<br>`crew`, undone by `give_back` |" in to_table(SMALL)
