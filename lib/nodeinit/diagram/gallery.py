"""The page that shows the pictures of a directory, kept in step between a pair of comments."""

from __future__ import annotations

import re

INTRO = """# Diagrams

Generated from the definitions of the machines; write them anew with

    python -m nodeinit.diagram.files .
"""


def with_diagram(page: str, name: str, mermaid: str) -> str:
    """`page` with the present diagram of a machine.

    It replaces what stands between the machine's two comments; a machine that is not on the page
    yet gets a section at its end. The rest of the page is left as people wrote it.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    picture = f"![The machine {name}]({name}.svg)"
    block = (
        f"{begin}\n{picture}\n\nThe same, as Mermaid draws it:\n\n```mermaid\n{mermaid}```\n{end}"
    )
    there = re.compile(f"^{re.escape(begin)}$.*?^{re.escape(end)}$", re.DOTALL | re.MULTILINE)
    if there.search(page):
        return there.sub(lambda _: block, page)
    kinds = {"Table": "md", "JSON": "json", "Mermaid source": "mmd", "Graphviz source": "dot"}
    links = " · ".join(f"[{kind}]({name}.{suffix})" for kind, suffix in kinds.items())
    return f"{page or INTRO}\n## {name}\n\n{links}\n\n{block}\n"
