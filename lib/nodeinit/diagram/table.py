"""A machine as Markdown tables: what a review and a diff want to see, and a picture cannot show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from nodeinit.diagram.ir import Diagram
from nodeinit.diagram.names import encoded
from nodeinit.diagram.tables import Cell, Code, Line, Prose, Table, tables_of
from nodeinit.fsm.policy import Policy

# Nothing in such text means anything to Markdown, be it in a table or in a code span.
_CODE = re.compile(r"[A-Za-z0-9_ ,\[\]]+")
_LETTERS = re.compile(r"[A-Za-z0-9]+")
_PROSE = re.compile(r"[A-Za-z0-9]+(?:(?:[_ ']|, |; )[A-Za-z0-9]+)*")


def render_table(diagram: Diagram, policy: Policy | None = None) -> str:
    """The states, the state-event matrix and the hooks of a machine as a Markdown page."""
    sections = [f"# {prose(diagram.title)}", *map(_section, tables_of(diagram, policy))]
    return "\n\n".join(sections) + "\n"


def code(text: str) -> str:
    """`text` as a code span that keeps every character, a pipe too."""
    if _CODE.fullmatch(text) and text == text.strip():
        return f"`{text}`"
    return f"<code>{encoded(text, _LETTERS, _entity)}</code>"


def prose(text: str) -> str:
    """`text` as plain text without any markup in it."""
    return encoded(text, _PROSE, _entity)


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in body:
        yield f"| {' | '.join(row)} |"


def _section(table: Table) -> str:
    intro = [_line(table.intro), ""] if table.intro else []
    body = ([_cell(cell) for cell in row] for row in table.rows)
    lines = rows([_line(word) for word in table.head], body)
    return "\n".join([f"## {table.title}", "", *intro, *lines])


def _cell(cell: Cell) -> str:
    return "<br>".join(map(_line, cell))


def _line(line: Line) -> str:
    return "".join(map(_part, line))


def _part(part: str | Code | Prose) -> str:
    match part:
        case Code(text):
            return code(text)
        case Prose(text):
            return prose(text)
        case _:
            return part


def _entity(char: str) -> str:
    return f"&#{ord(char)};"
