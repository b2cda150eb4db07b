"""What there is to draw of a machine, without a word about how: every renderer reads this.

All text in it is printable and on one line; ids are plain ASCII words.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from nodeinit.diagram.names import ids, visible
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


class Mark(enum.StrEnum):
    """What became of a thing between two releases of a machine; its value is drawn before it."""

    SAME = ""
    ADDED = "+"
    REMOVED = "−"
    CHANGED = "~"


@attrs.frozen
class Acquired:
    """A kind of thing that a phase may come to hold, and the function that gives it back."""

    kind: str
    undo: str


@attrs.frozen
class State:
    """One state. `name` is the machine's own, `label` what to show, `id` what to call it in a file.

    `activity` names the work that is done in it: of a phase its activity, of the goal its watch.
    `mark` and `notes` say what became of it, where two machines are compared.
    """

    id: str
    name: str
    label: str
    kind: StateKind
    summary: str = ""
    activity: str | None = None
    acquires: tuple[Acquired, ...] = ()
    mark: Mark = Mark.SAME
    notes: tuple[str, ...] = ()


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
    mark: Mark = Mark.SAME
    notes: tuple[str, ...] = ()


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
    mark: Mark = Mark.SAME
    notes: tuple[str, ...] = ()


@attrs.frozen
class Diagram:
    """A whole machine to draw. `initial` and `goal` are ids; states are in the machine's order.

    `compared` says that it is two machines at once, whose marks tell what became of what.
    """

    title: str
    states: tuple[State, ...]
    edges: tuple[Edge, ...]
    initial: str
    goal: str
    host_hooks: tuple[str, ...] = ()
    compared: bool = False

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
        tried: set[tuple[str, str, bool]] = set()
        found = []
        for edge in self.edges:
            gone = edge.mark is Mark.REMOVED
            guards = [g for g in edge.guards if not _was(g, edge.mark)]
            for source in edge.sources:
                for event in edge.events:
                    otherwise = not guards and (source, event, gone) in tried
                    # What is gone was tried in the old machine only, what is new in the new one.
                    tried |= {
                        (source, event, old)
                        for old in (False, True)
                        if edge.mark is not (Mark.ADDED if old else Mark.REMOVED)
                    }
                    found.append(
                        Single(
                            source,
                            event,
                            edge.target,
                            edge.guards,
                            edge.hooks,
                            edge.observes,
                            otherwise,
                            edge.mark,
                            edge.notes,
                        )
                    )
        return tuple(found)


def _was(name: str, mark: Mark) -> bool:
    """Whether a name in an edge that has changed is one that it no longer has."""
    return mark is Mark.CHANGED and name.startswith(f"{Mark.REMOVED} ")


def diagram_of(definition: Definition) -> Diagram:
    """What there is to draw of a definition. The same definition always gives an equal diagram."""
    return diagram_from(definition.to_dict())


def diagram_from(machine: Mapping[str, Any]) -> Diagram:
    """The same of a machine's canonical form (`Definition.to_dict`), which may come from a file."""
    named = ids(machine["states"])
    edges = tuple(
        Edge(
            sources=tuple(named[source] for source in edge["from"]),
            events=tuple(map(str, edge["on"])),
            target=named[edge["to"]],
            guards=tuple(map(visible, edge["guards"])),
            hooks=tuple(map(visible, edge["hooks"])),
            observes=edge["observes"],
            assign=visible(edge["assign"]) if edge["assign"] else None,
            order=order,
        )
        for order, edge in enumerate(machine["edges"])
    )
    fired = {hook for edge in machine["edges"] for hook in edge["hooks"]}
    return Diagram(
        title=visible(machine["name"]),
        states=tuple(_state(machine, name, id) for name, id in named.items()),
        edges=edges,
        initial=named[machine["initial"]],
        goal=named[machine["goal"]],
        host_hooks=tuple(visible(hook) for hook in machine["hooks"] if hook not in fired),
    )


def _state(machine: Mapping[str, Any], name: str, id: str) -> State:
    phase = next((phase for phase in machine["phases"] if phase["state"] == name), None)
    if phase is None:
        kind, summary = _kind(machine, name)
        watch = machine["watch"] if name == machine["goal"] else None
        return State(id, name, visible(name), kind, summary, visible(watch) if watch else None)
    acquires = tuple(
        Acquired(visible(kind), visible(machine["undo"][kind])) for kind in phase["acquires"]
    )
    summary = " ".join(phase["summary"].split())
    return State(
        id,
        name,
        visible(name),
        StateKind.PHASE,
        visible(summary) if summary else "",
        visible(phase["activity"]),
        acquires,
    )


def _kind(machine: Mapping[str, Any], name: str) -> tuple[StateKind, str]:
    if name == machine["goal"]:
        return _OF_THE_FRAME[Frame.READY]
    if name == machine["initial"]:
        return _OF_THE_FRAME[Frame.IDLE]
    return _OF_THE_FRAME[Frame(name)]
