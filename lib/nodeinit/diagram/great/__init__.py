"""The great picture of a machine: a straight way to the goal, rails out of it, no tangle.

`words` says what is written, `layout` where everything stands, `draw` makes an SVG of that.
"""

from nodeinit.diagram.great.draw import machine_svg
from nodeinit.diagram.great.overlay import Overlay, overlay_of

__all__ = ["Overlay", "machine_svg", "overlay_of"]
