"""A machine as Markdown tables: what a review and a diff want to see, and a picture cannot show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from nodeinit.diagram.ir import Diagram, Single, State, StateKind
from nodeinit.diagram.names import encoded

# Nothing in such text means anything to Markdown, be it in a table or in a code span.
_CODE = re.compile(r"[A-Za-z0-9_ ,\[\]]+")
_LETTERS = re.compile(r"[A-Za-z0-9]+")
_PROSE = re.compile(r"[A-Za-z0-9]+(?:(?:[_ ']|, |; )[A-Za-z0-9]+)*")


def render_table(diagram: Diagram) -> str:
    """The states, the state-event matrix and the hooks of a machine as a Markdown page."""
    sections = [
        [f"# {prose(diagram.title)}"],
        _states(diagram),
        _matrix(diagram),
        _hooks(diagram),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def code(text: str) -> str:
    """`text` as a code span that keeps every character, a pipe too."""
    if _CODE.fullmatch(text) and text == text.strip():
        return f"`{text}`"
    return f"<code>{encoded(text, _LETTERS, _entity)}</code>"


def prose(text: str) -> str:
    """`text` as plain text without any markup in it."""
    return encoded(text, _PROSE, _entity)


def _entity(char: str) -> str:
    return f"&#{ord(char)};"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _states(diagram: Diagram) -> list[str]:
    rows = (
        (
            code(state.label),
            state.kind,
            prose(state.summary),
            code(state.activity) if state.activity else "",
            "<br>".join(f"{code(a.kind)}, undone by {code(a.undo)}" for a in state.acquires),
        )
        for state in diagram.states
    )
    start, goal = (code(diagram.state(id).label) for id in (diagram.initial, diagram.goal))
    return [
        "## States",
        "",
        f"It starts in {start}; its goal is {goal}.",
        "",
        *_rows(("state", "kind", "what it does", "activity", "acquires"), rows),
    ]


def _matrix(diagram: Diagram) -> list[str]:
    ways: dict[tuple[str, str], dict[Single, None]] = {}
    for single in diagram.singles():
        ways.setdefault((single.source, single.event), {})[single] = None

    def row(state: State) -> tuple[str, ...]:
        cells = (ways.get((state.id, event), ()) for event in diagram.events)
        return (
            code(state.label),
            *("<br>".join(_way(diagram, single) for single in cell) for cell in cells),
        )

    return [
        "## What happens on which event",
        "",
        "In one cell the ways are tried from top to bottom, and the first whose guards all pass is",
        "taken. An empty cell means that the event is refused there.",
        "",
        *_rows(
            ("state", *(code(event) for event in diagram.events)),
            (row(state) for state in diagram.states if state.kind is not StateKind.FINAL),
        ),
    ]


def _way(diagram: Diagram, single: Single) -> str:
    target = f"→ {code(diagram.state(single.target).label)}"
    if single.guards:
        guards = ", ".join(single.guards)
        return f"{target} {code(f'[{guards}]')}"
    return f"{target} otherwise" if single.otherwise else target


def _hooks(diagram: Diagram) -> list[str]:
    rows = [
        (code(hook), _fires(diagram, single), _failure(single))
        for hook in _fired(diagram)
        for single in diagram.singles()
        if hook in single.hooks
    ]
    rows += [
        (code(hook), "in an activity, on every host", "the activity fails")
        for hook in diagram.host_hooks
    ]
    if not rows:
        return []
    return ["## Hooks", "", *_rows(("hook", "fires on", "if it fails"), rows)]


def _fired(diagram: Diagram) -> Iterable[str]:
    return dict.fromkeys(hook for edge in diagram.edges for hook in edge.hooks)


def _failure(single: Single) -> str:
    return "nothing changes: it observes" if single.observes else f"the event is {code('errored')}"


def _fires(diagram: Diagram, single: Single) -> str:
    source, target = (code(diagram.state(id).label) for id in (single.source, single.target))
    event = code(single.event)
    return f"{source} → {target} on {event}"
