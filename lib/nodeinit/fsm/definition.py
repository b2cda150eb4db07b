"""A machine as a value: phases, edges and guards, checked when it is made.

Guards, assigns, activities and undos are real functions, never names to be looked up. States are
the members of `Frame` and of the machine's own enum of phases; all are strings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from nodeinit.errors import DefinitionError
from nodeinit.fsm.drawing import drawn
from nodeinit.fsm.events import Event, Frame, Held, Occurred
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, Step

if TYPE_CHECKING:
    from nodeinit.fsm.codec import Codec
    from nodeinit.fsm.run import Run

Activity: TypeAlias = "Callable[[Any, Run], Awaitable[Any]]"
"""The work of a phase: `async def activity(ctx, run) -> ctx`."""

UndoActivity: TypeAlias = Callable[[Held, Any], Awaitable[None]]
"""Gives one held thing back: `async def undo(held, cluster)`. Must be safe to repeat."""

Assign: TypeAlias = Callable[[Snapshot, Occurred], Snapshot]
"""A pure change of the snapshot that belongs to an edge."""


@attrs.frozen
class Guard:
    """A named condition on an edge. `check` answers `None` to let it pass, else why not."""

    name: str
    check: Callable[[Snapshot, Occurred, Policy], str | None]


def guard(check: Callable[[Snapshot, Occurred, Policy], str | None]) -> Guard:
    """Make a guard of a function; its name is the guard's."""
    return Guard(check.__name__, check)


def retries(phase: str) -> Guard:
    """The guard of a `retry` edge into a phase: it is the one that the backoff is for."""

    def check(before: Snapshot, _occurred: Occurred, _policy: Policy) -> str | None:
        return None if before.retry == phase else f"the backoff is for {before.retry}"

    return Guard(f"retries_{phase}", check)


@attrs.frozen
class Phase:
    """A state in which work is done.

    `activity` is the work; `acquires` lists the kinds of things it may come to hold; `summary` says
    in a few words what it does, for diagrams.
    """

    state: str = attrs.field(converter=str)
    activity: Activity
    acquires: tuple[str, ...] = ()
    summary: str = ""


def _words(value: str | Iterable[str]) -> tuple[str, ...]:
    """Plain strings, whichever enum they come from: `transitions` and errors want it so."""
    return (str(value),) if isinstance(value, str) else tuple(str(word) for word in value)


@attrs.frozen
class Edge:
    """From some states, on some events, if all guards pass, to a state.

    Edges are tried in the order in which they stand. `hooks` fire, in order, before the edge is
    committed; `observes` marks hooks that cannot stop it. `assign` changes the snapshot.
    """

    sources: tuple[str, ...] = attrs.field(converter=_words)
    events: tuple[str, ...] = attrs.field(converter=_words)
    target: str = attrs.field(converter=str)
    guards: tuple[Guard, ...] = ()
    hooks: tuple[str, ...] = ()
    assign: Assign | None = None
    observes: bool = False

    def single(self) -> Iterable[Edge]:
        """The same as edges with one source and one event each."""
        for source in self.sources:
            for event in self.events:
                yield attrs.evolve(self, sources=(source,), events=(event,))


@attrs.frozen(cache_hash=True)
class Definition:
    """A whole machine. Construction raises `DefinitionError` listing every problem.

    `watch` is the work done in `ready`: it ends only when the node is lost. `undo` gives back what
    phases acquire, by kind. `host_hooks` are hooks that no edge fires because activities do.
    `check_change` enforces which hook may change which field of the context, and `codec` writes the
    context to journals and reads it back. `policy` is how patient it is where nobody says otherwise.
    """

    name: str
    phases: tuple[Phase, ...]
    edges: tuple[Edge, ...]
    watch: Activity | None = None
    undo: Mapping[str, UndoActivity] = attrs.field(factory=dict, eq=False)
    host_hooks: tuple[str, ...] = ()
    context: type = attrs.field(default=object, eq=False)
    check_change: Callable[[Any, Any, str], tuple[str, str] | None] | None = attrs.field(
        default=None, eq=False
    )
    codec: Codec | None = attrs.field(default=None, eq=False)
    policy: Policy | None = attrs.field(default=None, eq=False)
    initial: str = attrs.field(default=Frame.IDLE, converter=str)
    goal: str = attrs.field(default=Frame.READY, converter=str)

    def __attrs_post_init__(self) -> None:
        from nodeinit.fsm.checks import problems

        found = problems(self)
        if found:
            raise DefinitionError(self.name, found)

    @property
    def states(self) -> tuple[str, ...]:
        """Every state once: the initial one, the phases in order, then the frame's."""
        named = [self.initial, *(phase.state for phase in self.phases), self.goal]
        rest = [state for edge in self.edges for state in (*edge.sources, edge.target)]
        order = [*named, *(str(state) for state in Frame if state in rest), *rest]
        return tuple(dict.fromkeys(order))

    @property
    def hooks(self) -> tuple[str, ...]:
        """Every hook that a callback may have, in the order in which a run meets them."""
        fired = [hook for edge in self.edges for hook in edge.hooks]
        return tuple(dict.fromkeys([*fired, *self.host_hooks]))

    def phase(self, state: str) -> Phase | None:
        """The phase that is this state, or `None`."""
        return next((phase for phase in self.phases if phase.state == state), None)

    def order(self, state: str) -> int:
        """The position of a phase on the way to the goal; past all phases for other states."""
        for index, phase in enumerate(self.phases):
            if phase.state == state:
                return index
        return len(self.phases)

    def singles(self) -> tuple[Edge, ...]:
        """All edges with one source and one event each, in order."""
        return tuple(single for edge in self.edges for single in edge.single())

    def with_phase(
        self, phase: Phase, *, after: str, hooks: tuple[str, ...] = (), **changes: Any
    ) -> Definition:
        """A machine of one's own from this one: a further phase behind `after`.

        What `after` did on `done` the new phase does now; what can happen in `after` as in other
        phases (an error, a deadline, a cancel) can happen in it too, and it can be retried. `hooks`
        fire on the edge between them. `changes` replaces other fields (a `name`, more `undo`s).
        """
        edges: list[Edge] = []
        for edge in self.edges:
            if after in edge.sources and edge.events == (Event.DONE,):
                moved = tuple(phase.state if source == after else source for source in edge.sources)
                edges.append(attrs.evolve(edge, sources=moved))
            elif after in edge.sources and len(edge.sources) > 1:
                at = edge.sources.index(after) + 1
                sources = (*edge.sources[:at], phase.state, *edge.sources[at:])
                edges.append(attrs.evolve(edge, sources=sources))
            else:
                edges.append(edge)
        edges.append(Edge(after, Event.DONE, phase.state, hooks=hooks))
        edges.append(Edge(Frame.BACKOFF, Event.RETRY, phase.state, (retries(phase.state),)))
        position = self.order(after) + 1
        phases = (*self.phases[:position], phase, *self.phases[position:])
        return attrs.evolve(self, phases=phases, edges=tuple(edges), **changes)

    def machine(self, machine_cls: Any = None, model: Any = None, **kwargs: Any) -> Any:
        """This machine as a stock one of `transitions`; see `nodeinit.fsm.stock.stock_machine`."""
        from nodeinit.fsm.stock import stock_machine

        return stock_machine(self, machine_cls, model, **kwargs)

    def to_svg(self, policy: Policy | None = None, run: Sequence[Step] | None = None) -> str:
        """This machine as an SVG for light and dark pages; with the steps of a `run`, what that did."""
        return drawn(self, "svg", policy=policy or self.policy, run=run)

    def to_mermaid(self, active: str | None = None, nested: bool = True) -> str:
        """This machine as a Mermaid state diagram, as GitHub draws it; `active` is where a run is.

        What all phases do alike leads out of a box around them, unless it is not to be `nested`.
        """
        return drawn(self, "mmd", active=active, nested=nested)

    def to_html(self, policy: Policy | None = None) -> str:
        """This machine as a page that needs nothing else: its picture, its tables, its sources."""
        return drawn(self, "html", policy=policy or self.policy)

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        return self.to_svg()

    def to_dict(self) -> dict[str, Any]:
        """The canonical form, names only: for golden files, diffs and `nodeinit machine show`."""
        return {
            "name": self.name,
            "initial": self.initial,
            "goal": self.goal,
            "states": list(self.states),
            "phases": [
                {
                    "state": phase.state,
                    "activity": _name(phase.activity),
                    "acquires": list(phase.acquires),
                    "summary": phase.summary,
                }
                for phase in self.phases
            ],
            "edges": [
                {
                    "from": list(edge.sources),
                    "on": list(edge.events),
                    "to": edge.target,
                    "guards": [guard.name for guard in edge.guards],
                    "hooks": list(edge.hooks),
                    "assign": _name(edge.assign) if edge.assign else None,
                    "observes": edge.observes,
                }
                for edge in self.edges
            ],
            "watch": _name(self.watch) if self.watch else None,
            "undo": {kind: _name(undo) for kind, undo in sorted(self.undo.items())},
            "hooks": list(self.hooks),
        }


def _name(function: Any) -> str:
    """What a function is called; a `partial` by what it calls, an object by its class."""
    while hasattr(function, "func"):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))
