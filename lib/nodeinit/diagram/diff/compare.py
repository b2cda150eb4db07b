"""Two machines as one diagram: what both have once, and marks for what became of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from nodeinit.diagram.diff.edges import matched
from nodeinit.diagram.ir import Diagram, Edge, Mark, State, diagram_from
from nodeinit.diagram.names import free


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Diagram:
    """The diagram of two canonical forms at once; the initial state and the goal are the new one's.

    Edges have one source and one event each. An edge that has another target, or that cannot be told
    from a new one, is one removed and one added.
    """
    before, after = diagram_from(old), diagram_from(new)
    names = {state.id: state.name for state in before.states}
    # The ids of the new machine, and free ones for what it no longer has.
    ids = {state.name: state.id for state in after.states}
    for name in names.values():
        ids.setdefault(name, free("gone", ids.values()))
    moved = {id: ids[name] for id, name in names.items()}
    gone = [attrs.evolve(state, id=moved[state.id]) for state in before.states]
    states = _merged(gone, after.states)
    edges = matched(tuple(_singles(before, moved)), tuple(_singles(after, {})))
    title = after.title if before.title == after.title else f"{before.title} → {after.title}"
    return Diagram(
        title,
        tuple(states),
        tuple(attrs.evolve(edge, order=order) for order, edge in enumerate(edges)),
        after.initial,
        after.goal,
        after.host_hooks,
        compared=True,
    )


def differs(diagram: Diagram) -> bool:
    """Whether two machines that were compared are not the same."""
    marks = [*(state.mark for state in diagram.states), *(edge.mark for edge in diagram.edges)]
    return any(mark is not Mark.SAME for mark in marks)


def _singles(diagram: Diagram, moved: Mapping[str, str]) -> Iterator[Edge]:
    """Every edge with one source and one event, with the ids that its states have in both."""
    for edge in diagram.edges:
        for source in edge.sources:
            for event in edge.events:
                yield attrs.evolve(
                    edge,
                    sources=(moved.get(source, source),),
                    events=(event,),
                    target=moved.get(edge.target, edge.target),
                )


def _merged(old: Sequence[State], new: Sequence[State]) -> list[State]:
    """All of the new states in their order; what is gone stands behind what it stood behind."""
    before = {state.name: state for state in old}
    found = [
        _changed(before[state.name], state)
        if state.name in before
        else attrs.evolve(state, mark=Mark.ADDED)
        for state in new
    ]
    place = 0
    for state in old:
        at = next((n for n, other in enumerate(found) if other.name == state.name), None)
        if at is None:
            found.insert(place, attrs.evolve(state, mark=Mark.REMOVED))
            at = place
        place = at + 1
    return found


def _changed(old: State, new: State) -> State:
    """A state of both, with what is not the same in them."""
    notes = []
    if old.kind is not new.kind:
        notes.append(f"was of kind {old.kind}")
    if old.activity != new.activity:
        notes.append(f"its activity was {old.activity or 'none'}")
    if old.summary != new.summary:
        notes.append(f"was said to: {old.summary}" if old.summary else "had no summary")
    for held in [held for held in old.acquires if held not in new.acquires]:
        notes.append(f"held {held.kind}, undone by {held.undo}")
    for held in [held for held in new.acquires if held not in old.acquires]:
        notes.append(f"now holds {held.kind}, undone by {held.undo}")
    mark = Mark.CHANGED if notes else Mark.SAME
    return attrs.evolve(new, mark=mark, notes=tuple(notes))
