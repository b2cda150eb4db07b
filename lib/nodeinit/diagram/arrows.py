"""Which arrows a picture needs, so that it shows every edge once and is not a tangle.

What every phase does alike (an error, a deadline, a cancel) becomes one arrow out of a box around
the phases, and what leads from one state to another becomes one arrow.
"""

from __future__ import annotations

import attrs

from nodeinit.diagram.ir import Diagram, Mark, Single


@attrs.frozen
class Way:
    """Events that take an arrow under one condition and with the same hooks."""

    events: tuple[str, ...]
    guards: tuple[str, ...]
    hooks: tuple[str, ...]
    observes: bool
    otherwise: bool
    mark: Mark = Mark.SAME
    notes: tuple[str, ...] = ()


@attrs.frozen
class Arrow:
    """One arrow with all the ways that it stands for; out of the box where `source` is `None`."""

    source: str | None
    target: str
    ways: tuple[Way, ...]

    @property
    def mark(self) -> Mark:
        """What became of it as a whole: what all of its ways say, if they say the same."""
        marks = {way.mark for way in self.ways}
        return marks.pop() if len(marks) == 1 else Mark.CHANGED


def arrows_of(diagram: Diagram, boxed: bool = True) -> tuple[Arrow, ...]:
    """Every edge of a diagram in exactly one arrow, in the order of the definition.

    Without `boxed` what all phases do alike is an arrow out of each of them.
    """
    shared = _shared(diagram) if boxed else set()
    found: dict[tuple[str | None, str], dict[Single, None]] = {}
    for single in diagram.singles():
        nameless = attrs.evolve(single, source="")
        alike = nameless in shared and diagram.state(single.source) in diagram.phases
        source = None if alike else single.source
        found.setdefault((source, single.target), {})[nameless] = None
    return tuple(Arrow(*ends, _ways(singles)) for ends, singles in found.items())


def _shared(diagram: Diagram) -> set[Single]:
    """What all phases have alike, without its source."""
    phases = {state.id for state in diagram.phases}
    sources: dict[Single, set[str]] = {}
    for single in diagram.singles():
        # An arrow out of the box back into it could not be told from one between phases.
        if single.target not in phases:
            sources.setdefault(attrs.evolve(single, source=""), set()).add(single.source)
    return {single for single, found in sources.items() if len(phases) > 1 and phases <= found}


def _ways(singles: dict[Single, None]) -> tuple[Way, ...]:
    events: dict[Single, list[str]] = {}
    for single in singles:
        events.setdefault(attrs.evolve(single, event=""), []).append(single.event)
    return tuple(
        Way(
            tuple(together),
            how.guards,
            how.hooks,
            how.observes,
            how.otherwise,
            how.mark,
            how.notes,
        )
        for how, together in events.items()
    )
