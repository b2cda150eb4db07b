"""What the great picture is made of, each thing with its place on the page, in pixels."""

from __future__ import annotations

import attrs

from nodeinit.diagram.arrows import Arrow
from nodeinit.diagram.great.words import LINE, Words
from nodeinit.diagram.ir import Diagram, State
from nodeinit.diagram.plan.canvas import Box

MARGIN = 24.0
"""What is left free around everything."""


@attrs.frozen
class Card:
    """A state, where it stands, and what is written on it."""

    state: State
    box: Box
    words: Words


@attrs.frozen
class Label:
    """What is written beside an arrow, and where."""

    box: Box
    words: Words


@attrs.frozen
class Line:
    """An arrow: the corners that it passes, the label at it. `kind` is what it is for.

    A `tap` is an arrow as far as the rail that it has in common with others.
    """

    arrow: Arrow
    points: tuple[tuple[float, float], ...]
    label: Label
    kind: str
    tap: bool = False


@attrs.frozen
class Rail:
    """What the taps of one kind have in common: a line from the first to the last, and a trunk.

    `ahead` says whether it leads to the card that its trunk ends at, or from there.
    """

    kind: str
    y: float
    left: float
    right: float
    trunk: tuple[float, float]
    ahead: bool


@attrs.frozen
class Layout:
    """A whole picture. `phases` is the box around all phases, if an arrow starts there."""

    diagram: Diagram
    cards: tuple[Card, ...]
    lines: tuple[Line, ...]
    rails: tuple[Rail, ...]
    phases: Box | None
    notes: tuple[str, ...]
    w: float
    h: float

    def lower(self, by: float) -> Layout:
        """The same picture with everything further down on a page that is higher by as much."""

        def box(old: Box) -> Box:
            return attrs.evolve(old, y=old.y + by)

        def point(old: tuple[float, float]) -> tuple[float, float]:
            return (old[0], old[1] + by)

        def line(old: Line) -> Line:
            label = attrs.evolve(old.label, box=box(old.label.box))
            return attrs.evolve(old, points=tuple(map(point, old.points)), label=label)

        return attrs.evolve(
            self,
            cards=tuple(attrs.evolve(card, box=box(card.box)) for card in self.cards),
            lines=tuple(map(line, self.lines)),
            rails=tuple(
                attrs.evolve(rail, y=rail.y + by, trunk=point(rail.trunk)) for rail in self.rails
            ),
            phases=box(self.phases) if self.phases is not None else None,
            h=self.h + by,
        )

    @property
    def notes_top(self) -> float:
        """Where what stands under the picture begins."""
        return self.h - MARGIN - LINE * len(self.notes)
