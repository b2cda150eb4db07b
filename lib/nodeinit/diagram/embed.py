"""Diagrams inside a Markdown file, kept in step with the code between a pair of comments.

    <!-- nodeinit diagram node_init mmd -->
    what stands here is replaced
    <!-- nodeinit end -->

The first comment names the machine, and what to show of it: a format that Markdown can hold (`mmd`,
`dot`, `md`, `json`), or a file beside the page to be written and shown (`pictures/node_init.svg`).
Comments in a fenced block of code are an example, and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from pathlib import Path

import attrs

from nodeinit.diagram.registry import formats, render
from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm.definition import Definition

_MARK = re.compile(r"^<!--\s*nodeinit\s+(.*?)\s*-->\s*$")
_BEGIN = re.compile(r"diagram\s+(\S+)\s+(\S+)")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_LANGUAGES = {"mmd": "mermaid", "dot": "dot", "json": "json"}
_PICTURES = ("svg", "png")
_EXAMPLE = "write `<!-- nodeinit diagram MACHINE mmd -->` and, below it, `<!-- nodeinit end -->`"

Find = Callable[[str], Definition]
"""Finds the machine that a comment names, as `load_machine` does; raises `ConfigError`."""


@attrs.frozen
class _Block:
    """A place for a diagram: the lines `first` and `last` are its comments, counted from 0."""

    first: int
    last: int
    machine: str
    what: str


def embedded(
    text: str, page: Path, find: Find, only: Container[str] | None = None
) -> dict[Path, str]:
    """The text that a page should have, and those of the files that it shows, by path.

    With `only` the places of all other machines are left as they are. Raises `ConfigError` with
    every comment that cannot be followed, and for a page without any.
    """
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    faults: list[Fault] = []
    blocks = _blocks(lines, faults)
    files: dict[Path, str] = {}
    for block in reversed(blocks):
        if only is not None and block.machine not in only:
            continue
        try:
            shown = _shown(block, page, find, files)
        except ConfigError as error:
            faults += [attrs.evolve(fault, line=block.first + 1) for fault in error.faults]
            continue
        lines[block.first + 1 : block.last] = [line + newline for line in shown.split("\n")]
    if not blocks and not faults:
        faults.append(Fault("page", "has no place for a diagram", remedy=_EXAMPLE))
    if faults:
        raise ConfigError(sorted(faults, key=lambda f: f.line or 0), source=str(page))
    return {page: "".join(lines), **files}


def _shown(block: _Block, page: Path, find: Find, files: dict[Path, str]) -> str:
    """What stands between the comments; a file that is shown there is added to `files`."""
    definition = find(block.machine)
    suffix = Path(block.what).suffix.removeprefix(".").lower()
    if suffix:
        files[page.parent / block.what] = render(definition, suffix)
        bang = "!" if suffix in _PICTURES else ""
        return f"{bang}[The machine {definition.name}]({block.what})"
    if block.what in _PICTURES:
        remedy = f"name a file beside the page, as in {block.machine}.{block.what}"
        raise ConfigError(Fault("format", "stands in no Markdown", repr(block.what), remedy))
    text = render(definition, block.what).removesuffix("\n")
    if block.what == "md":
        return _below(text)
    return f"```{_LANGUAGES.get(block.what, block.what)}\n{text}\n```"


def _below(table: str) -> str:
    """The tables of a machine without its name, one level further down: the page has its own."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in table.split("\n")[2:])


def _blocks(lines: list[str], faults: list[Fault]) -> list[_Block]:
    """Every pair of comments, in order; what cannot be one is added to `faults`."""
    found: list[_Block] = []
    begun: tuple[int, str, str] | None = None
    fence = ""
    for number, line in enumerate(lines):
        # Between two of our comments nothing is code of the page: it is ours, and may be broken.
        if begun is None and (fenced := _FENCE.match(line.rstrip())):
            fence = _after(fence, fenced[1], fenced[2])
        mark = _MARK.match(line)
        if mark is None or fence:
            continue
        opens = _BEGIN.fullmatch(mark[1])
        if opens and begun is None:
            begun = (number, opens[1], opens[2])
        elif mark[1] == "end" and begun is not None:
            found.append(_Block(begun[0], number, begun[1], begun[2]))
            begun = None
        else:
            faults.append(_misplaced(number + 1, mark[1], begun))
    if begun is not None:
        remedy = "write `<!-- nodeinit end -->` where its diagram ends"
        faults.append(Fault("comment", "has no end", line=begun[0] + 1, remedy=remedy))
    return found


def _after(fence: str, line: str, info: str) -> str:
    """The fence of the code that goes on after a fence in a line; empty where none does."""
    if not fence:
        return line
    return "" if line.startswith(fence) and not info.strip() else fence


def _misplaced(line: int, words: str, begun: tuple[int, str, str] | None) -> Fault:
    if words == "end":
        return Fault("comment", "ends what was not begun", line=line, remedy=_EXAMPLE)
    if begun is not None:
        problem = f"stands inside of that of line {begun[0] + 1}, which has no end"
        return Fault(
            "comment", problem, line=line, remedy="write `<!-- nodeinit end -->` before it"
        )
    known = f"{_EXAMPLE}; known formats: {', '.join(formats())}"
    return Fault("comment", "is none of ours", repr(words), known, line)
