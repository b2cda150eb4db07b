"""What there is to draw of a machine, without a word about how: every renderer reads this.

All text in it is printable and on one line; ids are plain ASCII words.
"""

from __future__ import annotations

import enum

import attrs

from nodeinit.diagram.names import called, ids, visible
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Event, Frame


class StateKind(enum.StrEnum):
    """What a state is for; colours and shapes follow from it."""

    START = "start"  # nothing was begun
    PHASE = "phase"  # an activity works
    WAIT = "wait"  # nothing is done until the time for another try has come
    GOAL = "goal"  # what the machine is for
    UNDO = "undo"  # what is held is given back
    FINAL = "final"  # the end


_OF_THE_FRAME = {
    Frame.IDLE: (StateKind.START, "nothing has begun"),
    Frame.BACKOFF: (StateKind.WAIT, "wait, then try again the phase that failed"),
    Frame.READY: (StateKind.GOAL, "everything is in place"),
    Frame.RELEASING: (StateKind.UNDO, "give back everything that is held, newest first"),
    Frame.FAILED: (StateKind.FINAL, "it could not be done; nothing is held"),
    Frame.CANCELLED: (StateKind.FINAL, "somebody stopped it; nothing is held"),
    Frame.RELEASED: (StateKind.FINAL, "it is no longer needed; nothing is held"),
}


@attrs.frozen
class Acquired:
    """A kind of thing that a phase may come to hold, and the function that gives it back."""

    kind: str
    undo: str


@attrs.frozen
class State:
    """One state. `name` is the machine's own, `label` what to show, `id` what to call it in a file.

    `activity` names the work that is done in it: of a phase its activity, of the goal its watch.
    """

    id: str
    name: str
    label: str
    kind: StateKind
    summary: str = ""
    activity: str | None = None
    acquires: tuple[Acquired, ...] = ()


@attrs.frozen
class Edge:
    """One edge as it stands in the definition, with ids of states.

    `order` is its position there: of the edges out of one state for one event the first whose
    guards all pass is taken.
    """

    sources: tuple[str, ...]
    events: tuple[str, ...]
    target: str
    guards: tuple[str, ...]
    hooks: tuple[str, ...]
    observes: bool
    assign: str | None
    order: int


@attrs.frozen
class Single:
    """One way out of one state for one event.

    `otherwise` says that it has no guard itself, but that guarded ones are tried before it.
    """

    source: str
    event: str
    target: str
    guards: tuple[str, ...]
    hooks: tuple[str, ...]
    observes: bool
    otherwise: bool


@attrs.frozen
class Diagram:
    """A whole machine to draw. `initial` and `goal` are ids; states are in the machine's order."""

    title: str
    states: tuple[State, ...]
    edges: tuple[Edge, ...]
    initial: str
    goal: str
    host_hooks: tuple[str, ...] = ()

    def state(self, id: str) -> State:
        """The state with this id."""
        return next(state for state in self.states if state.id == id)

    @property
    def phases(self) -> tuple[State, ...]:
        """The states that are phases, in order."""
        return tuple(state for state in self.states if state.kind is StateKind.PHASE)

    @property
    def events(self) -> tuple[str, ...]:
        """The events that have an edge, in the order in which `Event` lists them."""
        used = {event for edge in self.edges for event in edge.events}
        return tuple(event for event in map(str, Event) if event in used)

    def singles(self) -> tuple[Single, ...]:
        """All edges with one source and one event each, in the order in which they are tried."""
        tried: set[tuple[str, str]] = set()
        found = []
        for edge in self.edges:
            for source in edge.sources:
                for event in edge.events:
                    otherwise = not edge.guards and (source, event) in tried
                    tried.add((source, event))
                    found.append(
                        Single(
                            source,
                            event,
                            edge.target,
                            edge.guards,
                            edge.hooks,
                            edge.observes,
                            otherwise,
                        )
                    )
        return tuple(found)


def diagram_of(definition: Definition) -> Diagram:
    """What there is to draw of a definition. The same definition always gives an equal diagram."""
    named = ids(definition.states)
    edges = tuple(
        Edge(
            sources=tuple(named[str(source)] for source in edge.sources),
            events=tuple(str(event) for event in edge.events),
            target=named[str(edge.target)],
            guards=tuple(visible(guard.name) for guard in edge.guards),
            hooks=tuple(visible(hook) for hook in edge.hooks),
            observes=edge.observes,
            assign=called(edge.assign) if edge.assign else None,
            order=order,
        )
        for order, edge in enumerate(definition.edges)
    )
    return Diagram(
        title=visible(definition.name),
        states=tuple(_state(definition, name, id) for name, id in named.items()),
        edges=edges,
        initial=named[str(definition.initial)],
        goal=named[str(definition.goal)],
        host_hooks=tuple(visible(hook) for hook in definition.host_hooks),
    )


def _state(definition: Definition, name: str, id: str) -> State:
    kind, summary = _kind(definition, name)
    phase = definition.phase(name)
    if phase is None:
        watch = definition.watch if name == definition.goal else None
        activity = called(watch) if watch else None
        return State(id, name, visible(name), kind, summary, activity)
    acquires = tuple(
        Acquired(visible(kind), called(definition.undo[kind])) for kind in phase.acquires
    )
    summary = " ".join(phase.summary.split())
    return State(
        id,
        name,
        visible(name),
        kind,
        visible(summary) if summary else "",
        called(phase.activity),
        acquires,
    )


def _kind(definition: Definition, name: str) -> tuple[StateKind, str]:
    if definition.phase(name) is not None:
        return StateKind.PHASE, ""
    if name == definition.goal:
        return _OF_THE_FRAME[Frame.READY]
    if name == definition.initial:
        return _OF_THE_FRAME[Frame.IDLE]
    return _OF_THE_FRAME[Frame(name)]
