"""The skeleton of a page: text of users stays text, and nothing is asked of anybody."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodeinit.diagram.page import Markup, page, table, tag, text

HOSTILE = "</code><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\x1b[31m\u202e"


class Reader(HTMLParser):
    """Counts elements and keeps their attributes and texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += attributes

    def handle_data(self, data: str) -> None:
        self.said += data


@settings(deadline=None)
@given(st.text(), st.text())
@example(HOSTILE, HOSTILE)
def test_text_of_users_stays_text(said: str, value: str) -> None:
    read = Reader(tag("code", said, title=value))
    assert read.tags == ["code"]
    assert [name for name, _ in read.attributes] == ["title"]


def test_what_cannot_be_printed_is_spelt_out() -> None:
    assert text("a\x1b[31mb\n\u202ec") == "a\\x1b[31mb\n\\u202ec"
    assert tag("p", "a", class_=None, hidden=True, data_at="1") == '<p hidden data-at="1">a</p>'


def test_a_table_has_cells_for_its_head() -> None:
    made = table(("host", "bytes"), [(text("<b>"), text(3))], numbers=" n")
    read = Reader(made)
    assert read.tags.count("th") == read.tags.count("td") == 2
    assert read.attributes.count(("class", "number")) == 2
    assert "<b>" in read.said


def test_a_page_forbids_what_it_does_not_carry() -> None:
    script = "document.title += '!'"
    made = page("a <b>", Markup("<p>x</p>"), script=script)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in made and "default-src 'none'" in made
    assert "<title>a &lt;b&gt;</title>" in made
    without = page("t", Markup(""))
    assert "script-src 'none'" in without and "<script" not in without
    assert not re.search(r"(?:https?:)?//", without.replace("/*", ""))
