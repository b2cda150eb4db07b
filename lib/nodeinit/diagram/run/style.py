"""The colours of a timeline, for a light and for a dark page; of states as in the great picture."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.diagram import sheets

ROOT = "nodeinit-run"
"""The class of a picture as a whole."""

# Of each kind of span: fill, line and text, on light and on dark.
_SPANS = {
    "start": (("#f1f5f9", "#64748b", "#0f172a"), ("#1e2733", "#94a3b8", "#e2e8f0")),
    "phase": (("#dbeafe", "#2563eb", "#172554"), ("#16264a", "#6ea8fe", "#dbeafe")),
    "wait": (("#fef3c7", "#b45309", "#451a03"), ("#3d2c0a", "#f5b84b", "#fef3c7")),
    "goal": (("#dcfce7", "#15803d", "#052e16"), ("#0d3320", "#4ade80", "#dcfce7")),
    "undo": (("#ffedd5", "#c2410c", "#431407"), ("#43200c", "#fb923c", "#ffedd5")),
    "fetch": (("#e0f2fe", "#0369a1", "#0c2f45"), ("#0c2d42", "#4cb8f0", "#d5effd")),
    "group": (("#dcfce7", "#15803d", "#052e16"), ("#0d3320", "#4ade80", "#dcfce7")),
    "hook": (("#ede9fe", "#6d28d9", "#2e1065"), ("#2a1f4d", "#b79cf8", "#ede9fe")),
    "other": (("#f1f5f9", "#475569", "#0f172a"), ("#232c38", "#94a3b8", "#e2e8f0")),
}
KINDS = frozenset(_SPANS)
"""The kinds of spans that have colours of their own; others are `other`."""

PAGE = {
    "page": ("#ffffff", "#12161c"),
    "text": ("#1b2330", "#e6eaf0"),
    "mute": ("#5b6675", "#98a3b3"),
    "lane": ("#f6f7f9", "#1a2029"),
    "edge": ("#c9ced6", "#3b4554"),
    "bad": ("#b3261e", "#ff8a80"),
}
"""The colours of all else, on light and on dark."""


def sheet() -> str:
    """The style sheet."""
    lines = [("path", "fill:none"), (".curve,.done", "stroke:none;fill-opacity:.28")]
    lines += [(".open rect", "stroke-dasharray:4 3"), (".cut", "stroke-width:1.5")]
    lines += [(".cross", "stroke-width:1.2;stroke-opacity:.75"), (".cut-gap", "stroke:none")]
    lines += [(".outside", "paint-order:stroke;stroke-width:3;stroke-linejoin:round")]
    return sheets.sheet(ROOT, lines, _rules(0), _rules(1))


def _rules(theme: int) -> Iterator[tuple[str, str]]:
    page = {name: colours[theme] for name, colours in PAGE.items()}
    yield ".page", f"fill:{page['page']}"
    yield "text", f"fill:{page['text']}"
    yield ".mute", f"fill:{page['mute']}"
    yield ".bad", f"fill:{page['bad']}"
    yield ".lane", f"fill:{page['lane']}"
    yield ".outside", f"stroke:{page['lane']}"
    yield ".tick", f"stroke:{page['edge']};stroke-width:1"
    yield ".cut", f"stroke:{page['mute']}"
    yield ".cut-gap", f"fill:{page['page']}"
    for kind, themes in _SPANS.items():
        fill, line, text = themes[theme]
        yield f".{kind} rect", f"fill:{fill};stroke:{line}"
        yield f".{kind} .in", f"fill:{text}"
        yield f".{kind} .curve,.{kind} .done", f"fill:{line}"
        yield f"g rect.share-{kind}", f"fill:{line};fill-opacity:.42;stroke:none"
    yield ".failed>rect", f"stroke:{page['bad']};stroke-width:1.6"
    yield ".cross", f"stroke:{page['bad']}"
    yield ".mark", f"fill:{page['mute']};stroke:{page['page']}"
    yield ".mark.worse", f"fill:{page['bad']}"
