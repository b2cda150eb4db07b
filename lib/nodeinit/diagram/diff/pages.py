"""A comparison of two machines as a page that needs nothing else: the picture, and every change."""

from __future__ import annotations

from nodeinit.diagram.diff.telling import WORDS, Change, changes, count, sections
from nodeinit.diagram.great import machine_svg
from nodeinit.diagram.ir import Diagram, Mark
from nodeinit.diagram.page import Markup, joined, page, table, tag, text
from nodeinit.diagram.picture_width import shrinking

_STYLE = "td,th{overflow-wrap:normal}td code{white-space:nowrap}"
_KINDS = {Mark.ADDED: "good", Mark.REMOVED: "bad", Mark.CHANGED: "now"}


def html(diagram: Diagram) -> str:
    """The text of the page."""
    found = changes(diagram)
    picture = machine_svg(diagram)
    body = joined(
        tag("h1", diagram.title),
        tag("p", f"{count(found)}.".capitalize(), class_="mute"),
        tag("div", Markup(picture), markup=True, class_="scroll picture", tabindex=0),
        *(_section(title, some) for title, some in sections(found)),
    )
    return page(f"{diagram.title}: {count(found)}", body, _STYLE + shrinking(picture))


def _section(title: str, some: list[Change]) -> Markup:
    rows: list[tuple[Markup, ...]] = [
        (
            tag("span", f"{change.mark} {WORDS[change.mark]}", class_=_KINDS[change.mark]),
            Markup(" → ".join(tag("code", name) for name in change.names)),
            Markup("<br>".join(text(part) for part in (change.what, *change.notes) if part)),
        )
        for change in some
    ]
    return joined(tag("h2", title.capitalize()), table(("", "what", "how"), rows))
