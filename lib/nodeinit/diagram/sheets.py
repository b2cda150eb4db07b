"""Style sheets of drawings: the texts that all have, rules for a light and for a dark page.

Plain rules and no variables: the programs that turn an SVG into another format know no variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

SIZES = {"h1": 18, "h2": 13, "name": 12, "note": 11, "rank": 11.5, "tiny": 9}
"""The kinds of text and their sizes in pixels."""

BOLD = {"h1", "h2", "name", "rank"}

FONT = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif"
"""The fonts of all drawings."""

Rule: TypeAlias = tuple[str, str]
"""Selectors, with commas between them, and what is declared for them."""


def sheet(root: str, always: Iterable[Rule], light: Iterable[Rule], dark: Iterable[Rule]) -> str:
    """The rules for texts and these, all of them within the class `root` only.

    So a drawing can be inlined.
    """
    plain = [_scoped(root, *rule) for rule in (*_texts(), *always, *light)]
    night = [_scoped(root, *rule) for rule in dark]
    return "\n".join([*plain, "@media (prefers-color-scheme:dark){", *night, "}"])


def _texts() -> Iterator[Rule]:
    yield "text", f"font-family:{FONT};white-space:pre"
    for kind, size in SIZES.items():
        weight = ";font-weight:600" if kind in BOLD else ""
        yield f".{kind}", f"font-size:{size:g}px{weight}"


def _scoped(root: str, selectors: str, body: str) -> str:
    scoped = ",".join(f".{root} {selector}" for selector in selectors.split(","))
    return f"{scoped}{{{body}}}"
