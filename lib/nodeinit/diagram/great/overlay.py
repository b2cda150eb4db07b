"""What a run did, to be drawn over the picture of its machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.ir import Diagram, StateKind, diagram_of
from nodeinit.diagram.names import visible
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Event
from nodeinit.fsm.explain import phase_seconds
from nodeinit.fsm.snapshot import Step

_LISTED = 3  # times that an arrow was taken are listed up to so many
_REFUSED = 5  # kinds of refused events that are listed


@attrs.frozen
class Overlay:
    """A run on its machine: when arrows were taken, what states took, where it stands and why.

    `arrows` and `states` hold a line of text each, `states` by id. `now` is the id of the present
    state, `over` says that it is the end. `notes` are for under the picture.
    """

    arrows: Mapping[Arrow, str]
    states: Mapping[str, str]
    now: str
    over: bool
    notes: tuple[str, ...]


def overlay_of(definition: Definition, steps: Sequence[Step]) -> Overlay:
    """What the steps of a run come to; the work is linear in them, what is drawn is bounded."""
    diagram = diagram_of(definition)
    ids = {state.name: state.id for state in diagram.states}
    arrows = _arrows(diagram)
    taken: dict[Arrow, list[str]] = {}
    visits: Counter[str] = Counter()
    number = 0
    for step in steps:
        if not step.accepted or step.edge is None:
            continue
        number += 1
        guards = tuple(visible(guard.name) for guard in step.edge.guards)
        key = (ids[step.before.state], str(step.occurred.event), ids[step.after.state], guards)
        arrow = arrows[key]
        where = f" in {visible(step.before.state)}" if arrow.source is None else ""
        taken.setdefault(arrow, []).append(f"#{number} at {_short(step.at)}{where}")
        visits[step.after.state] += 1
    now = steps[-1].after.state if steps else definition.initial
    kind = diagram.state(ids[now]).kind
    return Overlay(
        {arrow: _listed(times) for arrow, times in taken.items()},
        {ids[name]: text for name, text in _spent(steps, visits, now, kind)},
        ids[now],
        kind is StateKind.FINAL,
        tuple(_notes(steps)),
    )


def _arrows(diagram: Diagram) -> dict[tuple[str, str, str, tuple[str, ...]], Arrow]:
    """Which arrow stands for an edge, given its source, event, target and guards."""
    phases = [state.id for state in diagram.phases]
    return {
        (source, event, arrow.target, way.guards): arrow
        for arrow in arrows_of(diagram)
        for way in arrow.ways
        for event in way.events
        for source in (phases if arrow.source is None else [arrow.source])
    }


def _listed(times: Sequence[str]) -> str:
    if len(times) > _LISTED:
        return f"{len(times)} times, {times[0]} to {times[-1]}"
    return ", ".join(times)


def _spent(
    steps: Sequence[Step], visits: Mapping[str, int], now: str, kind: StateKind
) -> Iterator[tuple[str, str]]:
    seconds = phase_seconds(steps)
    setbacks = (Event.ERRORED, Event.ELAPSED, Event.DISPLACED, Event.LOST)
    left = {s.before.state: s.occurred.event for s in steps if s.before.state != s.after.state}
    for name, spent in seconds.items():
        if name != now:
            often = f" in {visits[name]} visits" if visits.get(name, 0) > 1 else ""
            sign = "✗" if left.get(name) in setbacks else "✓"
            yield name, f"{sign} {_short(spent)}{often}"
    at = _short(steps[-1].at) if steps else "0 s"
    before = (
        f", {_short(seconds[now])} before" if now in seconds and kind is StateKind.PHASE else ""
    )
    yield now, f"{'the end' if kind is StateKind.FINAL else 'now'}, at {at}{before}"


def _notes(steps: Sequence[Step]) -> Iterator[str]:
    """Why a run stands where it stands, and which events were refused."""
    if not steps:
        return
    last = steps[-1].after
    if last.reason is not None and last.reason.code != "released":
        yield visible(f"why: {last.reason}")
    for error in last.cleanup_errors:
        yield visible(f"not given back: {error}")
    refused = Counter(
        f"{step.occurred.event} in {step.before.state}: {step.refused}"
        for step in steps
        if not step.accepted
    )
    for text, count in refused.most_common(_REFUSED):
        yield visible(f"refused{f' {count} times' if count > 1 else ''}: {text}")
    left = len(refused) - _REFUSED
    if left > 0:
        yield f"and {left} other events that were refused"


def _short(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
