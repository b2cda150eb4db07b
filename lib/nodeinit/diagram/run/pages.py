"""A run as one page that needs nothing else: what it came to, its pictures, its tables."""

from __future__ import annotations

from nodeinit.diagram.page import Markup, joined, page, table, tag, text
from nodeinit.diagram.run.headline import Headline, headline
from nodeinit.diagram.run.over import machine_of_run
from nodeinit.diagram.run.placed import placement_svg
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.telling import tables
from nodeinit.diagram.run.timeline import timeline_svg
from nodeinit.diagram.run.told import Told

WIDTHS = {"wide": 1500.0, "middle": 960.0, "narrow": 336.0}
"""Pixels: pictures are drawn so wide each, and the page shows the one that it has room for."""

STYLE = """
h1 .state{display:inline-block;border:2px solid;border-radius:8px;padding:.02em .5em;margin-right:.5em;
font-size:.72em;vertical-align:.12em;text-transform:uppercase;letter-spacing:.03em}
.more{white-space:pre-wrap;margin:0 0 .6em}
dl{display:flex;flex-wrap:wrap;gap:.2em 1.6em;margin:.4em 0}dl div{display:flex;gap:.5em}
dt{color:var(--mute)}dd{margin:0}
progress{width:min(100%,32em);height:.9em;accent-color:var(--now);vertical-align:middle}
.machine svg{max-width:max(100%,1060px)!important}
td,th{overflow-wrap:normal;white-space:pre}
td:last-child{white-space:pre-line;overflow-wrap:anywhere;min-width:16em;padding-right:0}
.middle,.narrow{display:none}
@media (max-width:1340px){.wide{display:none}.middle{display:block}}
@media (max-width:700px){.middle{display:none}.narrow{display:block}
.machine svg{max-width:none!important}}
@media print{.machine svg{max-width:100%!important}.wide,.narrow{display:none}.middle{display:block}}
"""


def run_html(run: RunRecord) -> str:
    """The text of the page."""
    return page(title_of(run), tag("main", content(run), markup=True), STYLE)


def title_of(run: RunRecord) -> str:
    """What a browser calls the page: the state first."""
    return f"{run.state}: {run.name or run.machine.name}"


def content(run: RunRecord) -> Markup:
    """What stands on the page: all that changes while a run goes on."""
    machine = Markup(machine_of_run(run))
    parts = [
        _top(headline(run), title_of(run)),
        tag("div", machine, markup=True, class_="scroll picture machine", tabindex=0),
        tag("h2", "Timeline"),
        *(_for(kind, timeline_svg(run, width=width)) for kind, width in WIDTHS.items()),
    ]
    placed = {kind: placement_svg(run, width=width) for kind, width in WIDTHS.items()}
    if placed["wide"] is not None:
        parts.append(tag("h2", "Placement"))
        parts += [_for(kind, picture) for kind, picture in placed.items() if picture]
    parts += [_table(told) for told in tables(run)]
    return joined(*parts)


def run_fragment(run: RunRecord) -> str:
    """What a notebook shows: the sentence and the pictures."""
    top = headline(run)
    pictures = [machine_of_run(run), timeline_svg(run), placement_svg(run, width=WIDTHS["middle"])]
    found = (Markup(picture) for picture in pictures if picture is not None)
    return joined(tag("p", tag("b", top.sentence), markup=True), *found)


def _top(top: Headline, title: str) -> Markup:
    said = joined(
        tag("span", top.state, class_=f"state {top.look}", data_title=title), text(top.sentence)
    )
    parts = [tag("h1", said, markup=True)]
    if top.more:
        parts.append(tag("p", top.more, class_="more mute"))
    if top.progress is not None:
        bar = tag("progress", value=f"{top.progress.part:.4f}", max=1)
        parts.append(tag("p", joined(bar, text(f" {top.progress.said}")), markup=True))
    facts = (
        tag("div", joined(tag("dt", name), tag("dd", value)), markup=True)
        for name, value in top.facts
    )
    return joined(*parts, tag("dl", joined(*facts), markup=True))


def _for(kind: str, picture: str) -> Markup:
    return tag("div", Markup(picture), markup=True, class_=f"picture {kind}")


def _table(told: Told) -> Markup:
    rows = [tuple(text(cell) for cell in row) for row in told.rows]
    return joined(tag("h2", told.title), table(told.head, rows, told.numbers))
