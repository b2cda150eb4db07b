"""Which edge of the old machine is which of the new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import attrs

from nodeinit.diagram.ir import Edge, Mark


def matched(old: Sequence[Edge], new: Sequence[Edge]) -> list[Edge]:
    """The edges of both, in the order of the new one; what is gone stands where it stood.

    All have one source and one event. Edges are the same if everything but their place is; one that
    only leads to the same state for the same event has changed, if there is no more than one such.
    """
    pairs = _pairs(old, new)
    before = {two: one for one, two in pairs.items()}
    was, now = _ranks(old, pairs), _ranks(new, before)
    found = [
        (_changed(old[before[n]], edge, was[before[n]], now[n]), n)
        if n in before
        else (attrs.evolve(edge, mark=Mark.ADDED), n)
        for n, edge in enumerate(new)
    ]
    place = 0
    for n, edge in enumerate(old):
        if n in pairs:
            place = next(at for at, (_, two) in enumerate(found) if two == pairs[n])
        else:
            found.insert(place, (attrs.evolve(edge, mark=Mark.REMOVED), -1))
        place += 1
    return [edge for edge, _ in found]


def _pairs(old: Sequence[Edge], new: Sequence[Edge]) -> dict[int, int]:
    """Which edge of the old ones became which of the new ones, by their places."""
    pairs: dict[int, int] = {}
    # From the strictest likeness to the loosest: what is left over at each is looked at in the next.
    for like in (_all, _condition, _ends):
        for n, edge in enumerate(old):
            taken = set(pairs.values())
            if n not in pairs:
                fits = [
                    m for m, other in enumerate(new) if m not in taken and like(edge) == like(other)
                ]
                if fits:
                    pairs[n] = fits[0]
    return pairs


def _all(edge: Edge) -> Edge:
    return attrs.evolve(edge, order=0)


def _condition(edge: Edge) -> tuple[object, ...]:
    return (*_ends(edge), edge.guards)


def _ends(edge: Edge) -> tuple[object, ...]:
    return (edge.sources, edge.events, edge.target)


def _ranks(edges: Sequence[Edge], kept: Collection[int]) -> dict[int, int]:
    """The place of each edge that is in both machines among such of its source and event, from 1."""
    seen: Counter[tuple[object, ...]] = Counter()
    ranks = {}
    for n, edge in enumerate(edges):
        if n in kept:
            seen[edge.sources, edge.events] += 1
            ranks[n] = seen[edge.sources, edge.events]
    return ranks


def _changed(old: Edge, new: Edge, was: int, now: int) -> Edge:
    """An edge of both, with what is not the same: guards and hooks have marks of their own."""
    notes = []
    if old.assign != new.assign:
        notes.append(f"assigns {new.assign or 'nothing'}, not {old.assign or 'nothing'}")
    if old.observes != new.observes:
        notes.append("its hooks only observe" if new.observes else "its hooks may stop it")
    for what, before, after in (
        ("guards", old.guards, new.guards),
        ("hooks", old.hooks, new.hooks),
    ):
        if before != after and sorted(before) == sorted(after):
            notes.append(f"its {what} were in the order {', '.join(before)}")
    if was != now:
        notes.append(f"tried at place {now}, not {was}")
    guards, hooks = _marked(old.guards, new.guards), _marked(old.hooks, new.hooks)
    if (guards, hooks) == (new.guards, new.hooks) and not notes:
        return new
    return attrs.evolve(new, guards=guards, hooks=hooks, mark=Mark.CHANGED, notes=tuple(notes))


def _marked(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """The names of both, each that only one of them has with a mark before it."""
    now = [name if name in old else f"{Mark.ADDED} {name}" for name in new]
    return (*now, *(f"{Mark.REMOVED} {name}" for name in old if name not in new))
