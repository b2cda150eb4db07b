"""The great picture of a machine: a straight way to the goal, rails out of it, no tangle.

`words` says what is written, `layout` where everything stands, `draw` makes an SVG of that.
"""

from nodeinit.diagram.great.draw import machine_svg

__all__ = ["machine_svg"]
