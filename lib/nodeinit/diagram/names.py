"""Text of users made safe to draw: one printable line, and ids that every format takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_ZERO_WIDTH_JOINER = "\u200d"  # holds an emoji of several parts together

_PLAIN_ID = re.compile(r"[a-z][a-z0-9_]*")

# Words of Mermaid's own grammar, the names that it gives to its dots, and one of JavaScript's.
_RESERVED = {"accdescr", "acctitle", "as", "class", "classdef", "click", "default", "end", "href"}
_RESERVED |= {"note", "scale", "state", "statediagram", "style"}
_RESERVED |= {"root", "root_end", "root_start", "constructor"}


def visible(text: object) -> str:
    r"""`text` on one line, with what cannot be printed written as an escape (`\n`, `\x1b`).

    Text without anything to see is shown in quotes.
    """
    raw = str(text)
    shown = "".join(
        char
        if char.isprintable() or char == _ZERO_WIDTH_JOINER
        else char.encode("unicode_escape").decode("ascii")
        for char in raw
    )
    return shown if shown.strip() else repr(raw)


def encoded(text: str, plain: re.Pattern[str], entity: Callable[[str], str]) -> str:
    """`text` with every character outside of the matches of `plain` written as an entity."""
    pieces = []
    end = 0
    for kept in plain.finditer(text):
        pieces += [*map(entity, text[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*pieces, *map(entity, text[end:])])


def ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each name: itself where it is a plain word, else `s1`, `s2`, …"""
    given: dict[str, str] = {}
    others = []
    for name in dict.fromkeys(names):
        if _PLAIN_ID.fullmatch(name) and name not in _RESERVED:
            given[name] = name
        else:
            others.append(name)
    for name in others:
        given[name] = free("s", given.values())
    return {name: given[name] for name in dict.fromkeys(names)}


def free(stem: str, taken: Iterable[str]) -> str:
    """The first of `stem1`, `stem2`, … that is not taken."""
    used = set(taken)
    number = 1
    while f"{stem}{number}" in used:
        number += 1
    return f"{stem}{number}"
