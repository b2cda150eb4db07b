"""The colours of a drawing of a plan, for a light and for a dark page."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.diagram import sheets

# Hues that are told apart with any kind of colour vision where they stand beside each other; what
# cells hold is written in them too. Of each: fill, line and text, on light and on dark.
_REPLICAS = (
    (("#cfe8f7", "#1479b8", "#0b3d5e"), ("#123c55", "#57b4e8", "#d3ecfa")),
    (("#d0f0e4", "#0b8a63", "#07402f"), ("#0d4434", "#3fcf9f", "#cff5e7")),
    (("#f8dcec", "#b84a86", "#5c1d41"), ("#521f3d", "#ea8dbd", "#fbe0ee")),
    (("#fbe6c2", "#b06f00", "#553600"), ("#513706", "#f0b23f", "#fdecc8")),
    (("#dfdcf8", "#5a4fc4", "#2b2566"), ("#2f2a66", "#a39bf2", "#e5e2fb")),
    (("#fadcd3", "#c2492a", "#5e2010"), ("#56231a", "#f48f73", "#fbe1d9")),
)

ROOT = "nodeinit-plan"
"""The class of a drawing as a whole."""

HUES = len(_REPLICAS)
"""Replicas take hues in turn."""

_LIGHT = {
    "page": "#ffffff",
    "host": "#f6f7f9",
    "edge": "#c9ced6",
    "free": "#ffffff",
    "text": "#1b2330",
    "mute": "#5b6675",
    "grey": "#dde1e7",
    "grey-text": "#4a5462",
    "bad": "#b3261e",
    "bad-fill": "#fdf0ee",
    "good": "#0b7a4b",
}
_DARK = {
    "page": "#12161c",
    "host": "#1a2029",
    "edge": "#3b4554",
    "free": "#12161c",
    "text": "#e6eaf0",
    "mute": "#98a3b3",
    "grey": "#333c49",
    "grey-text": "#bcc5d1",
    "bad": "#ff8a80",
    "bad-fill": "#2a1a1b",
    "good": "#4cd29a",
}


def hue(place: int) -> str:
    """The class of a replica, by its place among those that are drawn."""
    return f"r{place % HUES}"


def sheet() -> str:
    """The style sheet."""
    return sheets.sheet(ROOT, (), _rules(_LIGHT, 0), _rules(_DARK, 1))


def _rules(c: dict[str, str], theme: int) -> Iterator[tuple[str, str]]:
    yield ".page", f"fill:{c['page']}"
    yield "text", f"fill:{c['text']}"
    for kind in ("mute", "bad", "good"):
        yield f".{kind}", f"fill:{c[kind]}"
    yield ".box", f"fill:{c['host']};stroke:{c['edge']}"
    yield ".dead .box", "stroke-dasharray:4 3"
    yield ".free", f"fill:{c['free']};stroke:{c['edge']}"
    yield ".small path", "stroke:none"
    yield ".taken", f"fill:{c['grey']};stroke:{c['edge']}"
    yield ".taken-text", f"fill:{c['grey-text']}"
    yield ".why", f"fill:{c['bad-fill']};stroke:{c['bad']}"
    yield ".cross,.small .cross", f"stroke:{c['mute']};stroke-width:1.5"
    yield ".small .free", f"fill:{c['edge']};fill-opacity:.55"
    yield ".small .taken", f"fill:{c['mute']}"
    for i, themes in enumerate(_REPLICAS):
        fill, line, text = themes[theme]
        yield f".r{i} .fill", f"fill:{fill};stroke:{line}"
        yield f".r{i} text", f"fill:{text}"
        yield f".r{i}-line", f"fill:{fill};fill-opacity:.35;stroke:{line};stroke-width:1.5"
        yield f".r{i} .mark,.r{i}-dot", f"fill:{line}"
