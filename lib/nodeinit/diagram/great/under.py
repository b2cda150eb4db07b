"""Arrows that leave the lower row downwards: back into it, or around everything to the upper one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nodeinit.diagram.arrows import Arrow
from nodeinit.diagram.great.shapes import Label, Line
from nodeinit.diagram.great.words import Words
from nodeinit.diagram.plan.canvas import Box

AROUND = 14.0
"""From one arrow around everything to the next."""

_FIRST = 18.0  # from the lower row to the first arrow
_APART = 10.0
_PORT = 12.0  # from one end at a card to the next


def under_of(
    arrows: Sequence[Arrow],
    labels: Mapping[Arrow, Words],
    cards: Mapping[str, Box],
    detours: Mapping[Arrow, tuple[float, float]],
    bottom: float,
    left: float,
) -> tuple[list[Line], float]:
    """The arrows, and how far down they reach; `detours` says where those to the row turn down."""
    ends: Counter[str] = Counter()

    def port(id: str) -> float:
        ends[id] += 1
        return cards[id].right - min(cards[id].w - 6, _PORT * ends[id])

    lines = []
    y, x = bottom + _FIRST, left - AROUND
    for arrow in arrows:
        words, source = labels[arrow], str(arrow.source)
        one, two = cards[source], cards[arrow.target]
        y += words.h + 4
        start = port(source)
        if arrow in detours:
            end, lane = detours[arrow]
            points = [(start, one.bottom), (start, y), (x, y), (x, lane), (end, lane), (end, two.y)]
            x -= AROUND
        else:
            end = port(arrow.target)
            points = [(start, one.bottom), (start, y), (end, y), (end, two.bottom)]
        place = Box(max(left, start - words.w - 8), y - 4 - words.h, words.w, words.h)
        lines.append(Line(arrow, tuple(points), Label(place, words), "other"))
        y += _APART
    return lines, y if arrows else bottom
