"""A page that needs nothing else: one HTML file, no network, for light and dark, to read or print.

What stands on it is made by others, of `tag`, which escapes whatever text it is given. The page
itself forbids everything that it does not carry: no address is ever asked for anything, and no
script runs but its own, which its policy knows by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import NewType

from nodeinit.diagram.names import visible
from nodeinit.diagram.sheets import FONT

Markup = NewType("Markup", str)
"""HTML that is safe to put on a page: text of users in it has been escaped."""

LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "box": "#f6f7f9",
    "edge": "#c9ced6",
    "text": "#1b2330",
    "mute": "#5b6675",
    "good": "#0b7a4b",
    "bad": "#b3261e",
    "warn": "#8a5300",
    "now": "#1d4ed8",
}
DARK: Mapping[str, str] = {
    "page": "#12161c",
    "box": "#1a2029",
    "edge": "#3b4554",
    "text": "#e6eaf0",
    "mute": "#98a3b3",
    "good": "#4cd29a",
    "bad": "#ff8a80",
    "warn": "#f5b84b",
    "now": "#8ab4ff",
}
"""The colours of pages, by the name of the variable that has them (`var(--text)`)."""

_STYLE = f"""
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:16px clamp(12px,3vw,40px) 40px;max-width:1720px;background:var(--page);
color:var(--text);font:15px/1.5 {FONT};overflow-wrap:anywhere}}
h1{{font-size:1.45em;line-height:1.3;margin:.2em 0 .5em}}h2{{font-size:1.12em;margin:1.8em 0 .5em}}
p{{margin:.4em 0}}a{{color:var(--now)}}
code,pre{{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:.9em}}
.mute{{color:var(--mute)}}.good{{color:var(--good)}}.bad{{color:var(--bad)}}.warn{{color:var(--warn)}}
.now{{color:var(--now)}}
.scroll{{overflow-x:auto;overscroll-behavior-x:contain}}
.picture svg{{display:block;max-width:100%;height:auto}}
table{{border-collapse:collapse;font-size:.93em;min-width:min(100%,22em)}}
th,td{{text-align:left;vertical-align:top;padding:.28em .9em .28em 0;
border-bottom:1px solid var(--edge)}}
th{{color:var(--mute);font-weight:600;white-space:nowrap}}
.number{{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}}
@media print{{body{{padding:0;max-width:none}}.scroll{{overflow:visible}}
h2,tr,.picture svg{{break-inside:avoid}}h2{{break-after:avoid}}.screen{{display:none}}}}
"""


def tag(name: str, *inside: str | Markup, markup: bool = False, **attributes: object) -> Markup:
    """An element with text in it, escaped; with `markup` what is in it is HTML of `tag` already.

    Attributes that are `None` or `False` are left out; `class_` is written `class`, `data_x` `data-x`.
    """
    given = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{_quoted(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    body = "".join(inside) if markup else text("".join(inside))
    return Markup(f"<{name}{given}>{body}</{name}>")


def text(anything: object) -> Markup:
    """A text, escaped, with what cannot be printed written as an escape."""
    raw = str(anything)
    return Markup(escape("\n".join(visible(line) if line else "" for line in raw.split("\n"))))


def joined(*parts: str) -> Markup:
    """Pieces of HTML, one after the other."""
    return Markup("\n".join(parts))


def table(head: tuple[str, ...], rows: list[tuple[Markup, ...]], numbers: str = "") -> Markup:
    """A table that scrolls by itself where it is wider than the page.

    `head` is text, the cells are HTML. Columns whose place in `numbers` is `n` hold numbers.
    """

    def cells(name: str, row: tuple[Markup, ...]) -> str:
        kinds = [numbers[i : i + 1] == "n" for i in range(len(row))]
        return "".join(
            tag(name, cell, markup=True, class_="number" if kind else None)
            for cell, kind in zip(row, kinds, strict=True)
        )

    top = f"<thead><tr>{cells('th', tuple(map(text, head)))}</tr></thead>"
    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return tag(
        "div", f"<table>{top}<tbody>\n{body}\n</tbody></table>", markup=True, class_="scroll"
    )


def page(title: str, body: Markup, style: str = "", script: str = "") -> str:
    """The text of a whole page. `style` and `script` are ours; nothing of users may be in them."""
    sheet = "".join(
        [
            ":root{color-scheme:light dark;",
            *(f"--{name}:{colour};" for name, colour in LIGHT.items()),
            "}@media (prefers-color-scheme:dark){:root{",
            *(f"--{name}:{colour};" for name, colour in DARK.items()),
            "}}",
            _STYLE,
            style,
        ]
    )
    policy = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src {_digest(script)}" if script else "script-src 'none'",
        "connect-src 'self'" if script else "connect-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{text(title)}</title>",
        f"<style>{sheet}</style></head>",
    ]
    ending = [f"<script>{script}</script>"] if script else []
    return "\n".join([*head, "<body>", body, *ending, "</body></html>"]) + "\n"


def _digest(script: str) -> str:
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{found}'"


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _quoted(value: object) -> str:
    return escape(visible(value) if str(value) else "", quote=True)
