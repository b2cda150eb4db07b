"""Arrows that lead along the row above it: where they leave and reach cards, and how high they run.

No line of one crosses another unless their ends are interleaved: what leads to the left leaves a
card on its left side, what leads far passes above what leads near, and runs inside of it at the card.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import attrs

from nodeinit.diagram.arrows import Arrow
from nodeinit.diagram.great.shapes import Label, Line
from nodeinit.diagram.great.words import Words
from nodeinit.diagram.plan.canvas import Box

_APART = 10.0  # between the line of a lane and the label of the next
_ABOVE = 4.0  # between the line of a lane and its own label
_BESIDE = 8.0  # between two lanes at the same height


@attrs.frozen
class Way:
    """An arrow above the row. `one` and `two` are ids of cards; it starts at the height `top`.

    Without `one` it comes from below, around everything to the left.
    """

    arrow: Arrow
    one: str | None
    two: str
    top: float
    words: Words


@attrs.frozen
class Lanes:
    """The arrows; for those from below where their last piece turns down; and how high all reach."""

    lines: tuple[Line, ...]
    detours: Mapping[Arrow, tuple[float, float]]
    top: float


def lanes_of(ways: Sequence[Way], cards: Mapping[str, Box], floor: float, left: float) -> Lanes:
    """Arrows above the row, none lower than `floor` and no label further left than `left`."""
    inner = [way for way in ways if way.one is not None]
    inner.sort(key=lambda way: _span(way, cards))
    outer = [way for way in ways if way.one is None]
    port = _ports([*inner, *outer], cards)
    lines: list[Line] = []
    for way in inner:
        start, end = port(way, 0), port(way, 1)
        x = max(left, (start + end - way.words.w) / 2)
        reach = (min(start, end, x), max(start, end, x + way.words.w))
        y = min([floor - _APART, *(_over(line) for line in lines if _meets(line, reach))])
        place = Box(x, y - _ABOVE - way.words.h, way.words.w, way.words.h)
        points = ((start, way.top), (start, y), (end, y), (end, cards[way.two].y))
        lines.append(Line(way.arrow, points, Label(place, way.words), "over"))
    y = min([floor, *(line.label.box.y for line in lines)])
    detours = {}
    for way in outer:
        y -= _APART
        detours[way.arrow] = (port(way, 1), y)
    stems = [x for line in lines for x in (line.points[0][0], line.points[-1][0])]
    stems += [x for x, _ in detours.values()]
    return Lanes(tuple(_clear(line, stems) for line in lines), detours, y)


def _clear(line: Line, stems: Sequence[float]) -> Line:
    """The same arrow with its label where none of the others goes up through it, if there is room."""
    box = line.label.box
    left, right = sorted(x for x, _ in line.points[1:3])
    free = [left, *sorted(x for x in stems if left < x < right), right]
    places = [
        min(max(box.x, one + _ABOVE), two - _ABOVE - box.w)
        for one, two in itertools.pairwise(free)
        if two - one >= box.w + 2 * _ABOVE
    ]
    if not places:
        return line
    x = min(places, key=lambda x: abs(x - box.x))
    return attrs.evolve(line, label=attrs.evolve(line.label, box=attrs.evolve(box, x=x)))


def _span(way: Way, cards: Mapping[str, Box]) -> float:
    return abs(cards[way.one or way.two].x - cards[way.two].x)


def _over(line: Line) -> float:
    return line.label.box.y - _APART


def _meets(line: Line, reach: tuple[float, float]) -> bool:
    xs = [line.points[1][0], line.points[2][0], line.label.box.x, line.label.box.right]
    return min(xs) - _BESIDE < reach[1] and reach[0] < max(xs) + _BESIDE


def _ports(ways: Sequence[Way], cards: Mapping[str, Box]) -> Callable[[Way, int], float]:
    """Where an end (0 or 1) of a way meets the upper side of its card; ways come lowest first."""
    ends: dict[str, list[tuple[tuple[int, int], int, int]]] = {}
    for rank, way in enumerate(ways):
        for end, (own, other) in enumerate(((way.one, way.two), (way.two, way.one))):
            if own is not None:
                ends.setdefault(own, []).append((_side(own, other, cards, rank), rank, end))
    places: dict[tuple[int, int], float] = {}
    for id, found in ends.items():
        for n, (_, rank, end) in enumerate(sorted(found), 1):
            places[rank, end] = cards[id].x + cards[id].w * n / (len(found) + 1)
    ranks = {way.arrow: rank for rank, way in enumerate(ways)}
    return lambda way, end: places[ranks[way.arrow], end]


def _side(own: str, other: str | None, cards: Mapping[str, Box], rank: int) -> tuple[int, int]:
    """To the left, and the lowest lane outermost; itself; to the right, the lowest outermost too."""
    if other is None or cards[other].x < cards[own].x:
        return (0, rank)
    return (1, rank) if other == own else (2, -rank)
