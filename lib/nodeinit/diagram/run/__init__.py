"""A run as people want to see it: its machine with what it did, its timeline, its placement.

`read_run(path)` reads a journal; the record that it gives makes an SVG, a page or Markdown.
"""

from nodeinit.diagram.run.reading import read_run
from nodeinit.diagram.run.record import RunRecord

__all__ = ["RunRecord", "read_run"]
