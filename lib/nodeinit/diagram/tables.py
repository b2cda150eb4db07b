"""A machine as tables, before anybody decides how tables are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs

from nodeinit.diagram.ir import Diagram, Single, State, StateKind
from nodeinit.diagram.patience import patience
from nodeinit.fsm.policy import Policy


@attrs.frozen
class Code:
    """A name as it stands in the code; it may be anybody's."""

    text: str


@attrs.frozen
class Prose:
    """A sentence that may be anybody's. A plain `str` beside it is one of ours."""

    text: str


Line: TypeAlias = tuple[str | Code | Prose, ...]
Cell: TypeAlias = tuple[Line, ...]
"""Lines of a cell from top to bottom, each of parts that follow each other without a space."""


@attrs.frozen
class Table:
    """Rows under a title; `intro` is said before them."""

    title: str
    intro: Line
    head: tuple[Line, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables_of(diagram: Diagram, policy: Policy | None = None) -> tuple[Table, ...]:
    """The states, what happens on which event, and the hooks, if there are any."""
    found = (_states(diagram, policy), _matrix(diagram), _hooks(diagram))
    return tuple(table for table in found if table.rows)


def _states(diagram: Diagram, policy: Policy | None) -> Table:
    start, goal = (Code(diagram.state(id).label) for id in (diagram.initial, diagram.goal))
    head = ["state", "kind", "what it does", "activity", "acquires"]
    if policy is not None:
        head.append("patience")
    return Table(
        "States",
        ("It starts in ", start, "; its goal is ", goal, "."),
        tuple((word,) for word in head),
        tuple(_state(state, policy) for state in diagram.states),
    )


def _state(state: State, policy: Policy | None) -> tuple[Cell, ...]:
    cells: list[Cell] = [
        ((Code(state.label),),),
        ((str(state.kind),),),
        ((Prose(state.summary),),),
        ((Code(state.activity),),) if state.activity else (),
        tuple((Code(a.kind), ", undone by ", Code(a.undo)) for a in state.acquires),
    ]
    if policy is not None:
        is_phase = state.kind is StateKind.PHASE
        cells.append(tuple((line,) for line in patience(policy, state.name)) if is_phase else ())
    return tuple(cells)


def _matrix(diagram: Diagram) -> Table:
    ways: dict[tuple[str, str], dict[Single, None]] = {}
    for single in diagram.singles():
        ways.setdefault((single.source, single.event), {})[single] = None

    def row(state: State) -> tuple[Cell, ...]:
        cells = (ways.get((state.id, event), ()) for event in diagram.events)
        return (
            ((Code(state.label),),),
            *(tuple(_way(diagram, single) for single in cell) for cell in cells),
        )

    return Table(
        "What happens on which event",
        (
            "In one cell the ways are tried from top to bottom, and the first whose guards all pass is\n"
            "taken. An empty cell means that the event is refused there.",
        ),
        (("state",), *((Code(event),) for event in diagram.events)),
        tuple(row(state) for state in diagram.states if state.kind is not StateKind.FINAL),
    )


def _way(diagram: Diagram, single: Single) -> Line:
    target: Line = ("→ ", Code(diagram.state(single.target).label))
    if single.guards:
        return (*target, " ", Code(f"[{', '.join(single.guards)}]"))
    return (*target, " otherwise") if single.otherwise else target


def _hooks(diagram: Diagram) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (((Code(hook),),), (_fires(diagram, single),), (_failure(single),))
        for hook in _fired(diagram)
        for single in diagram.singles()
        if hook in single.hooks
    ]
    rows += [
        (((Code(hook),),), (("in an activity, on every host",),), (("the activity fails",),))
        for hook in diagram.host_hooks
    ]
    head = (("hook",), ("fires on",), ("if it fails",))
    return Table("Hooks", (), head, tuple(rows))


def _fired(diagram: Diagram) -> Iterable[str]:
    return dict.fromkeys(hook for edge in diagram.edges for hook in edge.hooks)


def _failure(single: Single) -> Line:
    return (
        ("nothing changes: it observes",) if single.observes else ("the event is ", Code("errored"))
    )


def _fires(diagram: Diagram, single: Single) -> Line:
    ends: Sequence[Code] = [Code(diagram.state(id).label) for id in (single.source, single.target)]
    return (ends[0], " → ", ends[1], " on ", Code(single.event))
