"""A machine as one page that needs nothing else: its picture, its tables, and its sources."""

from __future__ import annotations

from html import escape

from nodeinit.diagram.dot import render_dot
from nodeinit.diagram.great import machine_svg
from nodeinit.diagram.ir import Diagram, StateKind
from nodeinit.diagram.mermaid import render_mermaid
from nodeinit.diagram.page import Markup, joined, page, tag, text
from nodeinit.diagram.page import table as html_table
from nodeinit.diagram.picture_width import shrinking
from nodeinit.diagram.tables import Cell, Code, Line, Prose, Table, tables_of
from nodeinit.fsm.policy import Policy

_STYLE = """
td,th{overflow-wrap:normal}td code{white-space:nowrap}
details{margin:.5em 0;border:1px solid var(--edge);border-radius:6px;padding:.4em .8em}
summary{cursor:pointer}pre{overflow-x:auto;overflow-wrap:normal}
"""


def render_page(diagram: Diagram, canonical: str, policy: Policy | None = None) -> str:
    """The text of the page; `canonical` is the machine's JSON, which is shown as a source."""
    picture = Markup(machine_svg(diagram, policy))
    sources = {
        "Mermaid": render_mermaid(diagram),
        "Graphviz": render_dot(diagram),
        "JSON": canonical,
    }
    body = joined(
        tag("h1", diagram.title),
        tag("p", _said(diagram), class_="mute"),
        tag("div", picture, markup=True, class_="scroll picture", tabindex=0),
        *(_table(table) for table in tables_of(diagram, policy)),
        tag("h2", "Sources", class_="screen"),
        *(_source(name, source) for name, source in sources.items()),
    )
    return page(diagram.title, body, _STYLE + shrinking(picture))


def _said(diagram: Diagram) -> str:
    finals = [s.label for s in diagram.states if s.kind is StateKind.FINAL]
    way = [diagram.state(diagram.initial), *diagram.phases, diagram.state(diagram.goal)]
    return (
        f"A state machine of {len(diagram.states)} states and {len(diagram.singles())} edges. "
        f"The way: {' → '.join(state.label for state in way)}. It ends in {', '.join(finals)}."
    )


def _table(table: Table) -> Markup:
    intro = [tag("p", _line(table.intro), markup=True, class_="mute")] if table.intro else []
    head = tuple(_words(line) for line in table.head)
    rows = [tuple(_cell(cell) for cell in row) for row in table.rows]
    return joined(tag("h2", table.title), *intro, html_table(head, rows))


def _source(name: str, source: str) -> Markup:
    verbatim = tag("pre", Markup(f"<code>{escape(source)}</code>"), markup=True)
    return tag("details", joined(tag("summary", name), verbatim), markup=True, class_="screen")


def _words(line: Line) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in line)


def _cell(cell: Cell) -> Markup:
    return Markup("<br>".join(_line(line) for line in cell))


def _line(line: Line) -> Markup:
    return Markup("".join(map(_part, line)))


def _part(part: str | Code | Prose) -> Markup:
    match part:
        case Code(name):
            return tag("code", name)
        case Prose(words):
            return text(words)
        case _:
            return Markup(escape(part.replace("→ ", "→\u00a0")))
