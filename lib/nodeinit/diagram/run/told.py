"""A table of a run, before anybody decides how tables are written."""

from __future__ import annotations

import attrs

MOST_ROWS = 24
"""So many rows have all other tables; what is left out is counted in a last one."""


@attrs.frozen
class Told:
    """A table under a title. All cells are plain text of anybody; `numbers` marks columns by `n`."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: str = ""
