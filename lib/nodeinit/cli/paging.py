"""`nodeinit run --diagram`: a page that follows the node, beside what is shown here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nodeinit.cli.view import View
from nodeinit.diagram.live import LivePage

if TYPE_CHECKING:
    from nodeinit.diagram.run import RunRecord


@contextlib.contextmanager
def paged(view: View, path: Path | None) -> Iterator[None]:
    """Keep a page of the node that a view shows until the end of the block, if there is a path.

    Raises `ConfigError` where the file cannot be written.
    """
    if path is None:
        yield
        return

    def look() -> RunRecord | None:
        return view.node.record() if view.node is not None else None

    page = LivePage(look, path)
    view.say(f"page {page.url}, and {path}")
    view.page = page
    try:
        yield
    finally:
        page.close()
