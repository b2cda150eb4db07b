"""Diagrams inside of a Markdown file are brought up to date, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.diagram import render, to_mermaid, to_svg
from nodeinit.diagram.embed import embedded
from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm.definition import Definition
from tests.diagram.machines import SMALL

PAGE = Path("docs/page.md")
END = "<!-- nodeinit end -->"
OLD = "old\n"


def find(name: str) -> Definition:
    if name != "small":
        raise ConfigError(Fault("machine", "is not installed", repr(name)))
    return SMALL


def filled(text: str) -> str:
    return embedded(text, PAGE, find)[PAGE]


def place(what: str, inside: str = "") -> str:
    return f"<!-- nodeinit diagram small {what} -->\n{inside}{END}\n"


@pytest.mark.parametrize(
    ("what", "language"), [("mmd", "mermaid"), ("dot", "dot"), ("json", "json")]
)
def test_a_place_is_filled_and_what_was_there_replaced(what: str, language: str) -> None:
    text = filled("# Title\n" + place(what, "old\n```\n") + "after\n")

    block = f"```{language}\n{render(SMALL, what)}```\n"
    assert text == "# Title\n" + place(what, block) + "after\n"
    assert filled(text) == text


def test_all_places_of_a_page_are_filled() -> None:
    text = filled(f"one\n{place('mmd')}two\n{place('dot', OLD)}three\n{place('json')}four\n")

    blocks = [
        f"```{language}\n{render(SMALL, what)}```\n"
        for what, language in (("mmd", "mermaid"), ("dot", "dot"), ("json", "json"))
    ]
    mmd, dot, json = (
        place(what, block) for what, block in zip(("mmd", "dot", "json"), blocks, strict=True)
    )
    assert text == f"one\n{mmd}two\n{dot}three\n{json}four\n"


def test_a_table_goes_below_the_headings_of_the_page() -> None:
    text = filled(place("md"))

    assert "\n### States\n" in text and "\n## " not in text
    assert "# small" not in text
    assert filled(text) == text


def test_a_file_is_written_beside_the_page_and_shown() -> None:
    files = embedded(place("img/small.svg") + place("small.mmd"), PAGE, find)

    assert files[Path("docs/img/small.svg")] == to_svg(SMALL)
    assert files[Path("docs/small.mmd")] == to_mermaid(SMALL)
    assert "\n![The machine small](img/small.svg)\n" in files[PAGE]
    assert "\n[The machine small](small.mmd)\n" in files[PAGE]


@pytest.mark.parametrize("fence", ["```", "~~~~", "   ```"])
def test_an_example_in_code_is_left_alone(fence: str) -> None:
    example = f"{fence}markdown\n" + place("mmd", "old\n") + f"{fence.strip()}\n"
    text = filled(example + place("mmd"))

    assert text.startswith(example)
    assert text.count("stateDiagram-v2") == 1


def test_a_page_keeps_its_line_ends() -> None:
    text = filled(place("mmd").replace("\n", "\r\n"))

    assert text.count("\n") == text.count("\r\n") > 10


@settings(deadline=None)
@given(st.text("ab\n #`<!->\r\x0b\u2028"), st.text("ab\n #<!->"))
def test_everything_around_stays_as_it_is(before: str, after: str) -> None:
    before = before.replace("`", "") + "\n"
    text = filled(before + place("mmd") + after)

    assert text.startswith(before + "<!-- nodeinit diagram")
    assert text.endswith(f"\n{END}\n{after}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# nothing\n", r"page: has no place for a diagram; write `<!-- nodeinit diagram"),
        ("\n" + place("mmd")[:-5], r"\(line 2\): has no end"),
        (f"a\n\n{END}\n", r"\(line 3\): ends what was not begun"),
        (
            f"<!-- nodeinit diagram small -->\n{END}\n",
            r"\(line 1\) = 'diagram small'.*none of ours",
        ),
        ("<!-- nodeinit diagrm small mmd -->\n", r"none of ours.*known formats: svg, mmd"),
        (place("mmd", place("mmd")), r"inside of that of line 1"),
        (place("bmp"), r"\(line 1\) = 'bmp': is not known"),
        (place("svg"), r"'svg': stands in no Markdown; name a file.*small\.svg"),
        (place("x.bmp"), r"'bmp': is not known"),
        ("\n<!-- nodeinit diagram big mmd -->\n" + END, r"machine \(line 2\) = 'big'"),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        filled(text)

    assert str(caught.value).startswith("docs/page.md: ")


def test_all_faults_are_said_at_once_in_the_order_of_the_page() -> None:
    with pytest.raises(ConfigError) as caught:
        filled(place("bmp") + place("svg") + END)

    assert [fault.line for fault in caught.value.faults] == [1, 3, 5]
