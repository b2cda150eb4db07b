"""Which arrow goes which way in the great picture."""

from __future__ import annotations

import attrs

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.ir import Diagram, StateKind

_ROW = {StateKind.START: 0, StateKind.PHASE: 1, StateKind.GOAL: 2}
_RAILS = {StateKind.WAIT: "wait", StateKind.UNDO: "undo"}


@attrs.define
class Routes:
    """Every arrow of a machine in one of the ways that there are; states are ids.

    `row` is the way to the goal, and `at` says where a state is in it. Of the arrows `ahead` lead
    from a place of the row to the next, `over` to any other; `taps` lead down from a state of the row
    into a rail, or up (`retry`); `across` from the wait to the giving back, `ends` from there to the
    end, and `under` is what else starts in the lower row.
    """

    row: tuple[str, ...]
    kinds: dict[str, StateKind]
    at: dict[str, int]
    taps: dict[str, list[tuple[str, Arrow]]]
    ahead: dict[int, Arrow] = attrs.field(factory=dict)
    over: list[Arrow] = attrs.field(factory=list)
    across: list[Arrow] = attrs.field(factory=list)
    ends: list[Arrow] = attrs.field(factory=list)
    under: list[Arrow] = attrs.field(factory=list)
    boxed: bool = False

    @property
    def phases(self) -> list[str]:
        """The phases, in order."""
        return [id for id in self.row if self.kinds[id] is StateKind.PHASE]


def routes_of(diagram: Diagram) -> Routes:
    """The ways that the arrows of a diagram go."""
    states = [state for state in diagram.states if state.kind in _ROW]
    row = tuple(state.id for state in sorted(states, key=lambda state: _ROW[state.kind]))
    kinds = {state.id: state.kind for state in diagram.states}
    routes = Routes(row, kinds, {id: i for i, id in enumerate(row)}, {id: [] for id in row})
    for arrow in arrows_of(diagram):
        if arrow.source is None:
            _out_of_box(arrow, routes)
        elif arrow.source in routes.at:
            _out_of_row(arrow, arrow.source, routes)
        else:
            _from_below(arrow, arrow.source, routes)
    # What leads around everything to a state further on runs outside of what leads to a nearer one.
    routes.under.sort(key=lambda arrow: routes.at.get(arrow.target, -1))
    for taps in routes.taps.values():
        taps.sort(key=lambda tap: ("retry", "wait", "undo").index(tap[0]))
    return routes


def _out_of_box(arrow: Arrow, routes: Routes) -> None:
    if arrow.target in routes.at:
        routes.over.append(arrow)
    else:  # one tap for all, below one of the phases, in turns
        phases, before = (
            routes.phases,
            sum(tap.source is None for taps in routes.taps.values() for _, tap in taps),
        )
        place = phases[before % len(phases)]
        routes.taps[place].append((_RAILS[routes.kinds[arrow.target]], arrow))
    routes.boxed = True


def _out_of_row(arrow: Arrow, source: str, routes: Routes) -> None:
    at, target = routes.at, arrow.target
    if target not in at:
        routes.taps[source].append((_RAILS[routes.kinds[target]], arrow))
    elif at[target] == at[source] + 1:
        routes.ahead[at[source]] = arrow
    else:
        routes.over.append(arrow)


def _from_below(arrow: Arrow, source: str, routes: Routes) -> None:
    kind, into = routes.kinds[source], routes.kinds[arrow.target]
    if kind is StateKind.WAIT and arrow.target in routes.at:
        routes.taps[arrow.target].append(("retry", arrow))
    elif kind is StateKind.WAIT and into is StateKind.UNDO:
        routes.across.append(arrow)
    elif into is StateKind.FINAL:
        routes.ends.append(arrow)
    else:
        routes.under.append(arrow)
