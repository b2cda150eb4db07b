"""The machine with the way of a failing run drawn through it: numbered, bold, bad where it broke.

A flowchart, since Mermaid's state diagrams cannot draw one arrow unlike another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nodeinit.diagram.arrows import Arrow, arrows_of
from nodeinit.diagram.ir import Diagram, State, StateKind, diagram_of
from nodeinit.diagram.mermaid import BOX, COLOURS, escape
from nodeinit.diagram.names import free

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition
    from nodeinit.testing.report import CheckReport, Failure

BAD = "fill:#fee2e2,stroke:#dc2626,color:#450a0a,stroke-width:4px"
_PATH, _WRONG = "stroke:#2563eb,stroke-width:4px", "stroke:#dc2626,stroke-width:4px"


def render_mermaid(report: CheckReport) -> dict[str, str]:
    """One drawing for each failure, by its file's name; the machine alone where there is none."""
    if report.machine is None:
        return {}
    if not report.failures:
        return {"machine.mmd": drawn(report.machine)}
    return {
        f"{failure.check.replace(':', '-')}.mmd": drawn(report.machine, failure)
        for failure in report.failures
    }


def drawn(machine: Definition, failure: Failure | None = None) -> str:
    """The flowchart of a machine, with the path of a failure in it."""
    diagram = diagram_of(machine)
    path = _Path(diagram, failure)
    taken = {state.id for state in diagram.states}
    body = [f"{free('start', taken)}(( )) --> {diagram.initial}"]
    count = 1
    links: dict[str, list[int]] = {_PATH: [], _WRONG: []}
    inside = [
        state for state in diagram.phases if any(a.source is None for a in arrows_of(diagram))
    ]
    box = free(BOX, taken)
    for arrow in arrows_of(diagram):
        label = path.untaken(arrow)
        if label:
            body.append(f'{arrow.source or box} -->|"{label}"| {arrow.target}')
            count += 1
    for source, target, label, wrong in path.bold():
        body.append(f'{source} ==>|"{label}"| {target}')
        links[_WRONG if wrong else _PATH].append(count)
        count += 1
    states = [line for state in diagram.states if state not in inside for line in _node(state)]
    if inside:
        boxed = [f"    {line}" for state in inside for line in _node(state)]
        states += [f'subgraph {box}["{BOX}"]', *boxed, "end"]
    styles = [f"style {box} fill:none,stroke:#94a3b8"] if inside else []
    styles += [f"linkStyle {','.join(map(str, n))} {how}" for how, n in links.items() if n]
    lines = [*states, *body, *styles, *_classes(diagram, path.bad)]
    return "\n".join(["flowchart LR", *(f"    {line}" for line in lines)]) + "\n"


class _Path:
    """The steps of a failing run as arrows: those of one pair of states are one."""

    def __init__(self, diagram: Diagram, failure: Failure | None) -> None:
        self.ids: Mapping[str, str] = {state.name: state.id for state in diagram.states}
        self.diagram = diagram
        self.steps: dict[tuple[str, str], list[tuple[int, str, bool]]] = {}
        self.bad: str | None = None
        if failure is None or not failure.events:
            return
        for index, taken in enumerate(failure.events):
            if taken.source == taken.target or not taken.edge:
                continue
            pair = self.ids[taken.source], self.ids[taken.target]
            wrong = index == failure.worst
            self.steps.setdefault(pair, []).append((index + 1, taken.event, wrong))
        worst = failure.events[failure.worst]
        self.bad = self.ids[worst.source if failure.hook else worst.target]

    def untaken(self, arrow: Arrow) -> str:
        """What is left of an arrow without the events that the run took."""
        taken = {event for _, event, _ in self.steps.get((arrow.source or "", arrow.target), ())}
        left = [event for way in arrow.ways for event in way.events if event not in taken]
        return "<br/>".join(escape(event) for event in dict.fromkeys(left))

    def bold(self) -> Iterator[tuple[str, str, str, bool]]:
        """The arrows of the run: from, to, its numbers and events, whether it went wrong there."""
        for (source, target), steps in self.steps.items():
            label = "<br/>".join(f"{n} {escape(event)}" for n, event, _ in steps)
            yield source, target, label, any(wrong for *_, wrong in steps)


def _node(state: State) -> Iterator[str]:
    label = escape(state.label)
    yield f'{state.id}(["{label}"])' if state.kind is StateKind.FINAL else f'{state.id}["{label}"]'


def _classes(diagram: Diagram, bad: str | None) -> Iterator[str]:
    for kind in StateKind:
        here = [state.id for state in diagram.states if state.kind is kind]
        if here:
            yield f"classDef {kind}State {COLOURS[kind]}"
            yield f"class {','.join(here)} {kind}State"
    if bad is not None:
        yield f"classDef bad {BAD}"
        yield f"class {bad} bad"
