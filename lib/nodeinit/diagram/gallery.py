"""The page that shows the pictures of a directory: a section for each machine."""

from __future__ import annotations

import re

INTRO = """# Diagrams

Generated from the definitions of the machines; write them anew with

    python -m nodeinit.diagram.files .
"""


def with_machine(page: str, name: str) -> str:
    """`page` with a place for the diagrams of a machine: at its end, if it has none yet.

    The places are pairs of comments that `embed` fills; the rest of the page is people's.
    """
    if re.search(rf"^<!--\s*nodeinit\s+diagram\s+{re.escape(name)}\s", page, re.MULTILINE):
        return page
    kinds = {"Table": "md", "JSON": "json", "Mermaid source": "mmd", "Graphviz source": "dot"}
    links = " · ".join(f"[{kind}]({name}.{suffix})" for kind, suffix in kinds.items())
    return (
        f"{page or INTRO}\n## {name}\n\n{links}\n\n"
        f"<!-- nodeinit diagram {name} {name}.svg -->\n<!-- nodeinit end -->\n\n"
        f"The same, as Mermaid draws it:\n\n"
        f"<!-- nodeinit diagram {name} mmd -->\n<!-- nodeinit end -->\n"
    )
