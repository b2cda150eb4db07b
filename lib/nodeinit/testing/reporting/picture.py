"""The great picture of the machine with the way of a failing run on it, and where that went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.great import Overlay, machine_svg
from nodeinit.diagram.ir import Diagram, StateKind, diagram_of

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition
    from nodeinit.testing.path import Taken
    from nodeinit.testing.report import Failure

_LISTED = 3  # steps along one arrow are listed up to so many


def path_svg(machine: Definition, failure: Failure) -> str:
    """An SVG: the edges that the run took stand out, numbered as in the table of its steps."""
    diagram = diagram_of(machine)
    ids = {state.name: state.id for state in diagram.states}
    along: dict[Arrow, list[str]] = {}
    for number, taken in enumerate(failure.events, 1):
        arrow = _arrow(diagram, ids, taken) if taken.edge else None
        if arrow is not None:
            along.setdefault(arrow, []).append(f"#{number} at {taken.at:g} s")
    worst = failure.events[failure.worst]
    bad = ids[worst.source if failure.hook else worst.target]
    states = {ids[failure.events[0].source]: "began here"}
    for number, taken in enumerate(failure.events, 1):
        states[ids[taken.target]] = f"reached by step {number}"
    states[bad] = f"✗ went wrong at step {failure.worst + 1}"
    over = diagram.state(bad).kind is StateKind.FINAL
    run = Overlay({a: _listed(steps) for a, steps in along.items()}, states, bad, over, ())
    return machine_svg(diagram, None, run)


def _arrow(diagram: Diagram, ids: dict[str, str], taken: Taken) -> Arrow | None:
    """The arrow of a step; of a step that took none, and of an unknown one, `None`."""
    source, target = ids[taken.source], ids[taken.target]
    phases = {state.id for state in diagram.phases}
    for arrow in arrows_of(diagram):
        starts = arrow.source == source or (arrow.source is None and source in phases)
        if starts and arrow.target == target and any(taken.event in w.events for w in arrow.ways):
            return arrow
    return None


def _listed(steps: Sequence[str]) -> str:
    if len(steps) > _LISTED:
        return f"{len(steps)} times, {steps[0]} to {steps[-1]}"
    return ", ".join(steps)
