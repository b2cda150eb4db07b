"""What changed between two releases of a machine, from their canonical forms.

`read` takes one from a file, `compare` puts two into one diagram whose marks say what became of
what, `text` and `markdown` tell it, the great picture draws it, and `html` does both.
"""

from nodeinit.diagram.diff.compare import compare, differs
from nodeinit.diagram.diff.pages import html
from nodeinit.diagram.diff.reading import read
from nodeinit.diagram.diff.telling import changes, markdown, text, to_dict

__all__ = ["changes", "compare", "differs", "html", "markdown", "read", "text", "to_dict"]
