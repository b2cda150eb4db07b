"""What is written on the cards of states and beside arrows."""

from __future__ import annotations

import attrs

from nodeinit.diagram.arrows import Arrow
from nodeinit.diagram.great.overlay import Overlay
from nodeinit.diagram.ir import Diagram, Mark, State, StateKind
from nodeinit.diagram.patience import patience
from nodeinit.diagram.plan.text import fitted, width, wrapped
from nodeinit.fsm.policy import Policy

NAME, NOTE = 12.0, 11.0
"""The sizes of a card's name and of all other text, in pixels, as in `sheets.SIZES`."""

LINE = 15.0
"""From one line of text to the next."""

LOOKS = {Mark.SAME: "", Mark.ADDED: " added", Mark.REMOVED: " gone", Mark.CHANGED: " changed"}
"""The classes of what has a mark."""

ROOM = 190.0  # what a card's text may take before it is broken


@attrs.frozen
class Words:
    """Lines of text, each with the kind that says how it looks, and how much room they take."""

    lines: tuple[tuple[str, str], ...]

    @property
    def w(self) -> float:
        """How wide the widest line is at most."""
        return max((_width(kind, text) for kind, text in self.lines), default=0.0)

    @property
    def h(self) -> float:
        """How high all lines are together."""
        return LINE * len(self.lines)


def _width(kind: str, text: str) -> float:
    bold = kind.startswith("name")
    return width(text, NAME if bold else NOTE, bold=bold or kind.endswith(("event", "when")))


def on_card(
    state: State, policy: Policy | None, run: Overlay | None = None, wide: float = 0.0
) -> Words:
    """The card of a state: its name, what is done in it, its patience, what it holds.

    Of a run it also says how long that was in it. A card that is `wide` anyway breaks no line sooner.
    """
    room = max(ROOM, wide)
    lines = [("name", fitted(f"{state.mark} {state.label}".lstrip(), NAME, room * 1.4, bold=True))]
    if run is not None and state.id in run.states:
        lines.append(("note when", run.states[state.id]))
    if state.activity:
        lines.append(("note code", fitted(f"ƒ {state.activity}", NOTE, room * 1.4)))
    if state.summary and state.kind not in (StateKind.START, StateKind.FINAL):
        lines += [("note", line) for line in wrapped(state.summary, NOTE, room)]
    if state.kind is StateKind.PHASE and policy is not None:
        lines += [("note mute", line) for line in patience(policy, state.name)]
    for held in state.acquires:
        text = f"holds {held.kind}, undone by {held.undo}"
        lines += [("note mute", line) for line in wrapped(text, NOTE, room)]
    for note in state.notes:
        lines += [("note mute", line) for line in wrapped(f"{state.mark} {note}", NOTE, room)]
    return Words(tuple(lines))


def beside(arrow: Arrow, run: Overlay | None = None) -> Words:
    """The label of an arrow: the events of each of its ways, `[guards]`, and the hooks they fire.

    Of a run it begins with when that took the arrow.
    """
    lines: list[tuple[str, str]] = []
    if run is not None and arrow in run.arrows:
        lines.append(("note when", run.arrows[arrow]))
    for way in arrow.ways:
        otherwise = " [else]" if way.otherwise else ""
        look, mark = LOOKS[way.mark], f"{way.mark} " if way.mark else ""
        lines.append((f"note{look} event", mark + ", ".join(way.events) + otherwise))
        lines += [(f"note{look} mute", f"[{guard}]") for guard in way.guards]
        lines += [(f"note{look} hook", f"▸ {hook}") for hook in way.hooks]
        lines += [("note mute", f"{way.mark} {note}") for note in way.notes]
    return Words(tuple((kind, fitted(text, NOTE, 2 * ROOM)) for kind, text in lines))


def in_full(arrow: Arrow, diagram: Diagram) -> str:
    """What a pointer on an arrow shows: every way of it, with nothing cut."""
    source = "every phase" if arrow.source is None else diagram.state(arrow.source).label
    target = diagram.state(arrow.target).label
    lines = []
    for way in arrow.ways:
        otherwise = " when nothing else applies" if way.otherwise else ""
        guards = f" if {' and '.join(way.guards)}" if way.guards else ""
        hooks = f"; hooks {', '.join(way.hooks)}" if way.hooks else ""
        watching = " (they only observe)" if way.hooks and way.observes else ""
        events = ", ".join(way.events)
        mark = f"{way.mark} " if way.mark else ""
        notes = "".join(f"; {note}" for note in way.notes)
        lines.append(
            f"{mark}{source} → {target}: {events}{guards}{otherwise}{hooks}{watching}{notes}"
        )
    return "\n".join(lines)
