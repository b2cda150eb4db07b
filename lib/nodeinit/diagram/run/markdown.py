"""A run as Markdown, for a comment or an issue: what it came to, a timeline for GitHub, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodeinit.amounts import seconds
from nodeinit.diagram.names import encoded, visible
from nodeinit.diagram.run.headline import headline
from nodeinit.diagram.run.lanes import lanes_of
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.spans import Span, stays
from nodeinit.diagram.run.telling import tables
from nodeinit.diagram.run.told import Told
from nodeinit.diagram.table import prose

_SIGNS = {"good": "✅", "bad": "❌", "warn": "⚠️", "now": "⏳"}
_PLAIN = re.compile(r"[A-Za-z0-9_./]+(?:[ -][A-Za-z0-9_./]+)*")
_MOST_BARS = 60


def run_markdown(run: RunRecord) -> str:
    """The text of a Markdown page."""
    top = headline(run)
    lines = [f"## {_SIGNS[top.look]} {prose(top.sentence)}", ""]
    lines += [_prose(top.more).replace("<br>", "<br>\n"), ""] if top.more else []
    lines += [" · ".join(f"{name} {_prose(value)}" for name, value in top.facts), ""]
    if top.progress is not None:
        lines += [f"{100 * top.progress.part:.0f} % done: {prose(top.progress.said)}", ""]
    lines += _gantt(run)
    for told in tables(run):
        lines += ["", *_table(told)]
    return "\n".join(lines) + "\n"


def _table(told: Told) -> Iterator[str]:
    yield f"### {told.title}"
    yield ""
    yield f"| {' | '.join(told.head)} |"
    marks = told.numbers.ljust(len(told.head))
    yield f"|{'|'.join(' ---: ' if mark == 'n' else ' --- ' for mark in marks)}|"
    for row in told.rows:
        yield f"| {' | '.join(map(_prose, row))} |"


def _prose(text: str) -> str:
    return "<br>".join(prose(visible(line)) for line in text.split("\n") if line)


def _gantt(run: RunRecord) -> list[str]:
    """The timeline in Mermaid's words; of a long run only the longest bars, which it says."""
    lanes = [("machine", stays(run))]
    lanes += [(lane.name, [*lane.spans]) for lane in lanes_of(run)[0]]
    every = [(lane, span) for lane, spans in lanes for span in spans]
    longest = sorted(every, key=lambda item: -item[1].seconds)[:_MOST_BARS]
    chosen = {id(span) for _, span in longest}
    lines = ["```mermaid", "gantt", "    dateFormat x", "    axisFormat %H:%M:%S"]
    if len(every) > len(longest):
        lines.append(f"    title the longest {len(longest)} of {len(every)} times")
    for lane, spans in lanes:
        kept = [span for span in spans if id(span) in chosen]
        if kept:
            lines.append(f"    section {_plain(lane)}")
            lines += [_bar(span) for span in kept]
    return [*lines, "```"]


def _bar(span: Span) -> str:
    looks = {"wait": "done, ", "goal": "active, ", "undo": "done, "}
    look = "crit, " if span.failed else looks.get(span.kind, "")
    begin, end = round(span.begin * 1000), max(round(span.end * 1000), round(span.begin * 1000) + 1)
    said = _plain(f"{span.label or span.kind} {seconds(span.seconds)}")
    return f"    {said} :{look}{begin}, {end}"


def _plain(text: str) -> str:
    """A text in which nothing means anything to Mermaid: its entities have no `&` and no `:`."""
    return encoded(visible(text), _PLAIN, lambda char: f"#{ord(char)};" if char != " " else " ")
