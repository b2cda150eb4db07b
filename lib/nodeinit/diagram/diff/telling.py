"""A comparison of two machines in words: for a terminal, for a review, and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from nodeinit.diagram.arrows import Way, arrows_of
from nodeinit.diagram.ir import Diagram, Mark, State
from nodeinit.diagram.table import code, prose, rows

WORDS = {Mark.ADDED: "added", Mark.REMOVED: "removed", Mark.CHANGED: "changed"}


@attrs.frozen
class Change:
    """One thing that is not the same: a state, or a way from one state to another, by their names.

    `what` says it in full; `notes` say of something changed what was different.
    """

    mark: Mark
    names: tuple[str, ...]
    what: str
    notes: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The state, or both ends of the way."""
        return " → ".join(self.names)

    @property
    def edge(self) -> bool:
        """Whether it is a way from one state to another."""
        return len(self.names) > 1


def changes(diagram: Diagram) -> tuple[Change, ...]:
    """Everything that is not the same in two machines that were compared, states first."""
    states = (_of_state(state) for state in diagram.states if state.mark is not Mark.SAME)
    return (*states, *_of_edges(diagram))


def _of_state(state: State) -> Change:
    if state.mark is Mark.CHANGED:
        return Change(state.mark, (state.label,), "", state.notes)
    parts = [f"{state.kind}: {state.summary}" if state.summary else str(state.kind)]
    if state.activity:
        parts.append(f"activity {state.activity}")
    parts += [f"holds {held.kind}, undone by {held.undo}" for held in state.acquires]
    return Change(state.mark, (state.label,), "; ".join(parts))


def _of_edges(diagram: Diagram) -> Iterator[Change]:
    for arrow in arrows_of(diagram):
        source = "every phase" if arrow.source is None else diagram.state(arrow.source).label
        ends = (source, diagram.state(arrow.target).label)
        for way in arrow.ways:
            if way.mark is not Mark.SAME:
                yield Change(way.mark, ends, _way(way), way.notes)


def _way(way: Way) -> str:
    guards = f" if {' and '.join(way.guards)}" if way.guards else ""
    otherwise = " when nothing else applies" if way.otherwise else ""
    hooks = f"; {'tells' if way.observes else 'fires'} {', '.join(way.hooks)}" if way.hooks else ""
    return f"on {', '.join(way.events)}{guards}{otherwise}{hooks}"


def text(diagram: Diagram) -> str:
    """The changes as lines for a terminal: a mark, what it is, and below it what is different."""
    found = changes(diagram)
    lines = [f"{diagram.title}: {count(found)}"]
    for title, some in sections(found):
        wide = max(len(change.subject) for change in some)
        lines += ["", title]
        for change in some:
            lines.append(f"  {change.mark} {change.subject:{wide}}  {change.what}".rstrip())
            lines += [f"      {note}" for note in change.notes]
    return "\n".join(lines) + "\n"


def markdown(diagram: Diagram) -> str:
    """The changes as Markdown tables."""
    found = changes(diagram)
    lines = [f"# {prose(diagram.title)}", "", f"{count(found)}.".capitalize()]
    for title, some in sections(found):
        body = [
            (
                WORDS[change.mark],
                " → ".join(map(code, change.names)),
                "<br>".join(prose(part) for part in (change.what, *change.notes) if part),
            )
            for change in some
        ]
        lines += ["", f"## {title.capitalize()}", "", *rows(("", "what", "how"), body)]
    return "\n".join(lines) + "\n"


def to_dict(diagram: Diagram) -> dict[str, Any]:
    """The changes as JSON."""
    found = changes(diagram)
    return {
        "machine": diagram.title,
        "same": not found,
        "states": [_record(change) for change in found if not change.edge],
        "edges": [_record(change) for change in found if change.edge],
    }


def _record(change: Change) -> dict[str, Any]:
    return {
        "change": WORDS[change.mark],
        "what": change.subject,
        "how": change.what,
        "notes": list(change.notes),
    }


def sections(found: Sequence[Change]) -> Iterator[tuple[str, list[Change]]]:
    """The changes under a title each: of states, and of edges, where there are any."""
    for title, edge in (("states", False), ("edges", True)):
        if some := [change for change in found if change.edge is edge]:
            yield title, some


def count(found: Sequence[Change]) -> str:
    """`2 states and 5 edges differ`"""
    states = sum(not change.edge for change in found)
    edges = len(found) - states
    parts = [
        f"{number} {what}{'' if number == 1 else 's'}"
        for number, what in ((states, "state"), (edges, "edge"))
        if number
    ]
    if not parts:
        return "nothing changed"
    return f"{' and '.join(parts)} {'differs' if len(found) == 1 else 'differ'}"
