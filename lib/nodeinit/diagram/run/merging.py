"""Spans that are too small to be drawn by themselves, drawn together: a bounded picture of any run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import attrs

from nodeinit.amounts import grouped, seconds, times
from nodeinit.diagram.run.scale import Scale
from nodeinit.diagram.run.spans import Mark, Span

LEAST, MANY, LEAST_OF_MANY = 4.0, 80, 16.0
"""Pixels: what is narrower, and has such neighbours, is drawn together with them; in a lane of many
spans sooner than in one of few."""

MOST = 44.0
"""Pixels that are drawn together at most, so that it can still be seen when there was how much."""


@attrs.define
class _Many:
    begin: float
    end: float
    spans: list[Span]

    def span(self) -> Span:
        if len(self.spans) == 1:
            return self.spans[0]
        spent: dict[str, float] = {}
        counts: Counter[str] = Counter()
        for span in self.spans:
            spent[span.what] = spent.get(span.what, 0.0) + span.seconds
            counts[span.what] += 1
        bad = sum(span.failed for span in self.spans)
        lines = [f"from {seconds(self.begin)} to {seconds(self.end)}, too short to be drawn alone:"]
        most = counts.most_common(8)
        lines += [f"{name}: {times(n, 'time')}, {seconds(spent[name])}" for name, n in most]
        rest = counts.total() - sum(n for _, n in most)
        lines += [f"and {grouped(rest)} others"] if rest else []
        lines += [f"{grouped(bad)} of them came to no good end"] if bad else []
        kinds = {span.kind for span in self.spans}
        kind = kinds.pop() if len(kinds) == 1 else "many"
        label = f"{grouped(len(self.spans))}×"
        by_kind: dict[str, float] = {}
        for span in self.spans:
            by_kind[span.kind] = by_kind.get(span.kind, 0.0) + span.seconds
        whole = sum(by_kind.values())
        shares = tuple((name, part / whole) for name, part in by_kind.items() if whole)
        tip, open = "\n".join(lines), self.spans[-1].open
        failed = bad == len(self.spans)
        return Span(self.begin, self.end, kind, "", label, tip, (), failed, open, shares)


def merged(spans: Sequence[Span], scale: Scale) -> Iterator[Span]:
    """The spans of one lane, in order of their begin; neighbours that are too narrow are one."""
    many: _Many | None = None
    least = LEAST if len(spans) <= MANY else LEAST_OF_MANY
    for span in spans:
        narrow = scale.x(span.end) - scale.x(span.begin) < least
        near = many is not None and scale.x(span.begin) - scale.x(many.end) < least
        if many is not None and scale.x(span.end) - scale.x(many.begin) > MOST:
            near = False
        if narrow and near and many is not None:
            many.spans.append(span)
            many.end = max(many.end, span.end)
            continue
        if many is not None:
            yield many.span()
            many = None
        if narrow:
            many = _Many(span.begin, span.end, [span])
        else:
            yield span
    if many is not None:
        yield many.span()


def gathered(
    marks: Iterable[Mark], scale: Scale, apart: float = 9.0
) -> Iterator[tuple[float, Mark]]:
    """Marks with their places; those that would lie on each other are one."""
    together: list[Mark] = []
    place = 0.0
    for mark in marks:
        x = scale.x(mark.at)
        if together and x - place >= apart:
            yield place, _one(together)
            together = []
        if not together:
            place = x
        together.append(mark)
    if together:
        yield place, _one(together)


def _one(marks: list[Mark]) -> Mark:
    if len(marks) == 1:
        return marks[0]
    lines = Counter(mark.tip.split("\n")[0].rpartition(", at ")[0] for mark in marks)
    most = [f"{text}: {times(n, 'time')}" for text, n in lines.most_common(6)]
    rest = len(marks) - sum(n for _, n in lines.most_common(6))
    most += [f"and {rest} others"] if rest else []
    return Mark(marks[0].at, marks[0].kind, "\n".join(most), any(mark.failed for mark in marks))
