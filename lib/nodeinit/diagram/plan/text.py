"""How wide a text will be, so that it stays in its place whatever font a viewer has.

An SVG has no line breaks and no ellipsis, and nothing here knows the fonts of whoever looks at it.
So widths are estimated from above: DejaVu Sans, by which they are made, is the widest of the sans
serif fonts that are in common use.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from nodeinit.diagram.names import visible

_NARROW = set("iIjl.,:;'|!`· ")
_SLIM = set('frt()[]{}/\\-"*')
_WIDE = set("mwMWQOGN@%&#+=<>~^×…→")
_BOLD = 1.13


def shown(text: object) -> str:
    """What is drawn for a text that may be anybody's: what cannot be printed is spelt out."""
    return visible(text) if str(text) else ""


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The room that a line of text takes at most, in the unit of its `size`."""
    return sum(map(_em, text)) * size * (_BOLD if bold else 1)


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.41
    if char in _SLIM:
        return 0.52
    if char in _WIDE:
        return 1.0
    if char.isascii():
        return 0.79 if char.isupper() else 0.65
    if unicodedata.combining(char):
        return 0.1
    return 1.35 if unicodedata.east_asian_width(char) in "WF" else 1.05


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """A text that is cut, with an ellipsis, where it would take more than the room there is."""
    text = shown(text)
    if width(text, size, bold=bold) <= room:
        return text
    left = room - width("…", size, bold=bold)
    kept = []
    for char in text:
        left -= width(char, size, bold=bold)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def wrapped(text: str, size: float, room: float) -> Iterator[str]:
    """The lines of a text, broken between words, and within one that is wider than the room."""
    line = ""
    for word in map(shown, text.split()):
        longer = f"{line} {word}" if line else word
        if width(longer, size) <= room:
            line = longer
            continue
        if line:
            yield line
        while width(word, size) > room:
            fits = next(
                n for n in range(len(word), 0, -1) if n == 1 or width(word[:n], size) <= room
            )
            yield word[:fits]
            word = word[fits:]
        line = word
    if line:
        yield line
