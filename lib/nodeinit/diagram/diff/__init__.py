"""What changed between two releases of a machine, from their canonical forms.

`read` takes one from a file, `compare` puts two into one diagram whose marks say what became of
what, `text` and `markdown` tell it, and the great picture draws it.
"""

from nodeinit.diagram.diff.compare import compare, differs
from nodeinit.diagram.diff.reading import read
from nodeinit.diagram.diff.telling import changes, markdown, text, to_dict

__all__ = ["changes", "compare", "differs", "markdown", "read", "text", "to_dict"]
