"""What is wrong with a definition, found when it is made and not when it is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nodeinit.fsm.events import BOOKKEEPING, FINALS, Event, Frame

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition, Edge

NEEDED_IN_A_PHASE = (Event.DONE, Event.ERRORED, Event.ELAPSED, Event.CANCEL)


def problems(definition: Definition) -> list[str]:
    """Every reason why a definition is not sound, as sentences; empty for a sound one."""
    singles = definition.singles()
    return [
        *_names(definition, singles),
        *_shadowed(singles),
        *_reachability(definition, singles),
        *_exhaustiveness(definition, singles),
        *_hooks_can_fail(singles),
        *_undo(definition),
    ]


def _names(definition: Definition, singles: tuple[Edge, ...]) -> Iterator[str]:
    states = [phase.state for phase in definition.phases]
    for state in {state for state in states if states.count(state) > 1}:
        yield f"phase {state!r} is defined twice"
    for state in states:
        if not state:
            yield "a phase has no name: its state is ''"
        if state in set(Frame):
            yield f"phase {state!r} has the name of a state that every machine has"
    known = {definition.initial, *states, *Frame}
    for edge in singles:
        for state in (*edge.sources, edge.target):
            if state not in known:
                yield f"{_show(edge)}: {state!r} is neither a phase nor a state of the frame"
        if edge.events[0] not in set(Event):
            yield f"{_show(edge)}: {edge.events[0]!r} is not an event"
        if edge.events[0] in BOOKKEEPING:
            yield f"{_show(edge)}: {edge.events[0]!r} is bookkeeping and takes no edge"
        for hook in edge.hooks:
            if not hook.startswith("on_"):
                yield f"{_show(edge)}: the hook {hook!r} must be called on_…"


def _shadowed(singles: tuple[Edge, ...]) -> Iterator[str]:
    unguarded: set[tuple[str, str]] = set()
    for edge in singles:
        key = (edge.sources[0], edge.events[0])
        if key in unguarded:
            yield f"{_show(edge)} can never be taken: an edge before it has no guard"
        if not edge.guards:
            unguarded.add(key)


def _reachability(definition: Definition, singles: tuple[Edge, ...]) -> Iterator[str]:
    reached = _closure({definition.initial}, [(e.sources[0], e.target) for e in singles])
    ending = _closure({str(final) for final in FINALS}, [(e.target, e.sources[0]) for e in singles])
    left = {edge.sources[0] for edge in singles}
    for state in definition.states:
        if state in FINALS:
            if state in left:
                yield f"state {state!r} is final but has an edge out of it"
            continue
        if state not in reached:
            yield f"state {state!r} cannot be reached"
        if state not in left:
            yield f"state {state!r} is a dead end: no edge leads out of it and it is not final"
        elif state not in ending:
            yield f"from state {state!r} no final state can be reached"
    if definition.goal not in reached:
        yield f"the goal {definition.goal!r} cannot be reached"


def _closure(start: set[str], arrows: list[tuple[str, str]]) -> set[str]:
    found = {str(state) for state in start}
    grown = True
    while grown:
        grown = False
        for source, target in arrows:
            if source in found and target not in found:
                found.add(target)
                grown = True
    return found


def _exhaustiveness(definition: Definition, singles: tuple[Edge, ...]) -> Iterator[str]:
    """Nothing that can happen in a phase may be without an answer: there the machine would hang."""
    for phase in definition.phases:
        for event in NEEDED_IN_A_PHASE:
            yield from _answered(singles, phase.state, event)
    yield from _answered(singles, definition.initial, Event.CANCEL)
    yield from _answered(singles, definition.goal, Event.RELEASE)
    if definition.watch is not None:
        yield from _answered(singles, definition.goal, Event.LOST)
    for edge in singles:
        if edge.target == Frame.BACKOFF:
            phase_state = edge.sources[0]
            back = [e for e in singles if e.sources[0] == Frame.BACKOFF and e.target == phase_state]
            if not back:
                yield f"{_show(edge)}: no `retry` edge leads from backoff back to {phase_state!r}"
    if any(edge.target == Frame.BACKOFF for edge in singles):
        yield from _answered(singles, Frame.BACKOFF, Event.CANCEL)
    if any(edge.target == Frame.RELEASING for edge in singles):
        yield from _answered(singles, Frame.RELEASING, Event.UNDONE)
    for edge in singles:
        if edge.target in FINALS and edge.sources[0] != Frame.RELEASING:
            yield f"{_show(edge)}: only releasing may lead into a final state"


def _answered(singles: tuple[Edge, ...], state: str, event: Event) -> Iterator[str]:
    edges = [edge for edge in singles if edge.sources[0] == state and edge.events[0] == event]
    if not edges:
        yield f"state {state!r} has no edge for `{event}`"
    elif edges[-1].guards:
        yield f"state {state!r} may refuse `{event}`: its last edge for it is guarded"


def _hooks_can_fail(singles: tuple[Edge, ...]) -> Iterator[str]:
    for edge in singles:
        if edge.hooks and not edge.observes:
            answers = [
                other
                for other in singles
                if other.sources == edge.sources and other.events[0] == Event.ERRORED
            ]
            if not answers:
                yield f"{_show(edge)} fires hooks, but {edge.sources[0]!r} has no edge for `errored`"


def _undo(definition: Definition) -> Iterator[str]:
    for phase in definition.phases:
        for kind in phase.acquires:
            if kind not in definition.undo:
                yield f"phase {phase.state!r} acquires {kind!r}, but nothing undoes it"


def _show(edge: Edge) -> str:
    return f"edge {edge.sources[0]} --{edge.events[0]}--> {edge.target}"
