"""A machine as a page: all of it is there once, nothing of users is markup, nothing is fetched."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

from hypothesis import example, given, settings

from nodeinit.diagram import diagram_of, to_html, to_json, to_mermaid
from nodeinit.diagram.arrows import arrows_of
from nodeinit.diagram.great.words import in_full
from nodeinit.fsm.definition import Definition
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL, definitions
from tests.diagram.test_great import BACK, ODD, names_are_phases

_VOID = {"meta", "rect", "path", "circle", "br"}


class Read(HTMLParser):
    """What stands on a page; fails where an element is not closed, or closes another."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.states: Counter[str] = Counter()
        self.tips: Counter[str] = Counter()
        self.code: list[str] = []
        self._edge = False
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = {name: value or "" for name, value in attrs}
        self.attributes += given.items()
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "g":
            self._edge = "data-edge" in given
            self.states += Counter([given["data-state"]] if "data-state" in given else [])
        if tag == "code":
            self.code.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["title"] and self._edge and self.open[-2] == "g":
            self.tips[data] += 1
        if "code" in self.open:
            self.code[-1] += data


@settings(deadline=None, max_examples=50)
@given(definitions())
@example(SMALL)
@example(BACK)
@example(ODD)
@example(NODE_INIT)
def test_every_state_and_edge_is_there_once(definition: Definition) -> None:
    page, diagram = Read(to_html(definition)), diagram_of(definition)

    assert page.states == Counter(state.id for state in diagram.states)
    assert page.tips == Counter(in_full(arrow, diagram) for arrow in arrows_of(diagram))
    ways = sum(len(cell) for cell in _matrix(to_html(definition)))
    assert ways == len(set(diagram.singles()))


def _matrix(page: str) -> list[list[str]]:
    """The arrows in each cell of the second table."""
    table = re.findall(r"<table>.*?</table>", page, re.DOTALL)[1]
    return [re.findall(r"→\u00a0<code>", cell) for cell in re.findall(r"<td>(.*?)</td>", table)]


def test_text_of_users_stays_text() -> None:
    hostile = names_are_phases("</title><script>alert(1)</script>", "a&b", 'x" onload="y')
    page = to_html(hostile)

    assert Read(page).tags["script"] == 0
    assert not any(name.startswith("on") for name, _ in Read(page).attributes)
    assert "<script" not in page


def test_it_needs_nothing_else_and_is_the_same_every_time() -> None:
    page = to_html(NODE_INIT)

    assert page == to_html(NODE_INIT) == NODE_INIT.to_html()
    assert "default-src 'none'" in page
    assert not {"src", "href"} & {name for name, _ in Read(page).attributes}
    assert "4 h a try" in page and len(page.encode()) < 80_000


def test_the_sources_are_there_to_be_copied() -> None:
    code = Read(to_html(ODD)).code

    assert to_mermaid(ODD) in code
    assert to_json(ODD) in code
