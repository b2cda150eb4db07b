"""How far a picture on a page may shrink to the width of a screen."""

from __future__ import annotations

import re

_SMALLEST = 0.8  # of its own size


def shrinking(svg: str) -> str:
    """A style for the page: its picture shrinks, but not so far that it could not be read."""
    found = re.search(r'\bwidth="([\d.]+)"', svg)
    least = round(_SMALLEST * float(found[1])) if found else 0
    return f"@media screen{{.picture svg{{max-width:max(100%,{least}px)!important}}}}"
