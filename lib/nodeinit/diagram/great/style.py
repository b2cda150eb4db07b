"""The colours of the great picture, for a light and for a dark page."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.diagram import sheets

ROOT = "nodeinit-machine"
"""The class of a picture as a whole."""

# Of each kind of state: fill, line and text, on light and on dark. Final states by their meaning.
_CARDS = {
    "start": (("#f1f5f9", "#64748b", "#0f172a"), ("#1e2733", "#94a3b8", "#e2e8f0")),
    "phase": (("#dbeafe", "#2563eb", "#172554"), ("#16264a", "#6ea8fe", "#dbeafe")),
    "wait": (("#fef3c7", "#b45309", "#451a03"), ("#3d2c0a", "#f5b84b", "#fef3c7")),
    "goal": (("#dcfce7", "#15803d", "#052e16"), ("#0d3320", "#4ade80", "#dcfce7")),
    "undo": (("#ffedd5", "#c2410c", "#431407"), ("#43200c", "#fb923c", "#ffedd5")),
    "failed": (("#fee2e2", "#b91c1c", "#450a0a"), ("#3f1212", "#f87171", "#fee2e2")),
    "cancelled": (("#f1f5f9", "#475569", "#0f172a"), ("#232c38", "#94a3b8", "#e2e8f0")),
    "released": (("#ecfdf5", "#047857", "#022c22"), ("#0b3327", "#34d399", "#d1fae5")),
}
_LINES = {
    "ahead": ("#15803d", "#4ade80"),
    "over": ("#6d28d9", "#b79cf8"),
    "retry": ("#b45309", "#f5b84b"),
    "wait": ("#b45309", "#f5b84b"),
    "undo": ("#b91c1c", "#f87171"),
    "end": ("#475569", "#94a3b8"),
    "other": ("#475569", "#94a3b8"),
}
_PAGE = {
    "page": ("#ffffff", "#12161c"),
    "text": ("#1b2330", "#e6eaf0"),
    "mute": ("#5b6675", "#98a3b3"),
    "box": ("#f8fafc", "#161c25"),
    "edge": ("#cbd5e1", "#3b4554"),
}
_MARKED = {
    "added": ("#15803d", "#4ade80"),
    "gone": ("#b91c1c", "#f87171"),
    "changed": ("#1d4ed8", "#8ab4ff"),
}
# Told apart without any colour: by the width and the dashes of lines, and by what is struck out.
_COMPARED = (
    (".added path", "stroke-width:3;stroke-dasharray:none"),
    (".added rect", "stroke-width:3.5"),
    (".gone path", "stroke-width:2;stroke-dasharray:1.5 4"),
    (".gone rect", "stroke-width:2;stroke-dasharray:1.5 4"),
    ("text.gone,.gone .name,.gone .code", "text-decoration:line-through"),
    (".changed path", "stroke-width:3;stroke-dasharray:11 4"),
    (".changed rect", "stroke-width:3;stroke-dasharray:11 4"),
)
_MONO = "ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"


def sheet(compared: bool = False) -> str:
    """The style sheet, if `compared` also for what became of things."""
    lines = [(".event", "font-weight:600"), ("path", "fill:none;stroke-width:1.6")]
    lines += [
        (".to-wait path,.to-undo path", "stroke-dasharray:6 3"),
        (".code", f"font-family:{_MONO}"),
    ]
    lines += [(".faint", "opacity:.4"), (".taken path", "stroke-width:2.6")]
    lines += [(".now rect", "stroke-width:3.5"), (".when", "font-weight:600")]
    lines += [(".label", "paint-order:stroke;stroke-width:4;stroke-linejoin:round")]
    lines += [(".head", "stroke:none;stroke-dasharray:none"), (".twice", "fill:none")]
    lines += _COMPARED if compared else ()
    return sheets.sheet(ROOT, lines, _rules(0, compared), _rules(1, compared))


def _rules(theme: int, compared: bool) -> Iterator[tuple[str, str]]:
    page = {name: colours[theme] for name, colours in _PAGE.items()}
    yield ".page", f"fill:{page['page']}"
    yield "text", f"fill:{page['text']}"
    yield ".mute", f"fill:{page['mute']}"
    yield ".label", f"stroke:{page['page']}"  # a line that must cross it does not strike it out
    yield ".dot", f"fill:{page['text']}"
    yield ".phases", f"fill:{page['box']};stroke:{page['edge']};stroke-dasharray:2 3"
    for kind, themes in _CARDS.items():
        fill, line, text = themes[theme]
        yield f".{kind} rect", f"fill:{fill};stroke:{line};stroke-width:1.5"
        yield f".{kind} .twice", "fill:none"
        yield f".{kind} text", f"fill:{text}"
    for kind, colours in _LINES.items():
        yield f".to-{kind} path", f"stroke:{colours[theme]}"
        yield f".to-{kind} .head", f"fill:{colours[theme]}"
        yield f".to-{kind} .event", f"fill:{colours[theme]}"
    for kind, colours in _MARKED.items() if compared else ():
        yield f".{kind} path", f"stroke:{colours[theme]}"
        yield f".{kind} .head", f"fill:{colours[theme]}"
        yield f"text.{kind}.event", f"fill:{colours[theme]}"
