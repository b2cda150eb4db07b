"""Arrows that leave the lower row downwards: back into it, or around everything to the upper one."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

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
    """The arrows, and how far down they reach; `detours` says where those to the row turn down.

    None crosses another: what goes further to the left runs lower, and leaves its card further right.
    """
    order = sorted(arrows, key=lambda arrow: (arrow in detours, arrow.source != arrow.target))
    port = _ports(order, cards, detours)
    lines = []
    y, x = bottom + _FIRST, left - 2 * AROUND  # the first of them passes the dot before the start
    for arrow in order:
        words, one, two = labels[arrow], cards[str(arrow.source)], cards[arrow.target]
        y += words.h + 4
        start = port[arrow, 1]
        if arrow in detours:
            end, lane = detours[arrow]
            points = [(start, one.bottom), (start, y), (x, y), (x, lane), (end, lane), (end, two.y)]
            x -= AROUND
        else:
            end = port[arrow, 0]
            points = [(start, one.bottom), (start, y), (end, y), (end, two.bottom)]
        beside = end if arrow.source == arrow.target else start
        place = Box(max(left, beside - words.w - 8), y - 4 - words.h, words.w, words.h)
        lines.append(Line(arrow, tuple(points), Label(place, words), "other"))
        y += _APART
    return lines, y if arrows else bottom


def _ports(
    order: Sequence[Arrow], cards: Mapping[str, Box], detours: Container[Arrow]
) -> dict[tuple[Arrow, int], float]:
    """Where each end (0 where it leads to, 1 where it starts) meets the lower side of its card."""
    ends: dict[str, list[tuple[Arrow, int]]] = {}
    for arrow in order:
        if arrow not in detours:
            ends.setdefault(arrow.target, []).append((arrow, 0))
        ends.setdefault(str(arrow.source), []).append((arrow, 1))
    found = {}
    for id, there in ends.items():
        apart = min(_PORT, (cards[id].w - 6) / len(there))
        for n, end in enumerate(reversed(there), 1):
            found[end] = cards[id].right - apart * n
    return found
