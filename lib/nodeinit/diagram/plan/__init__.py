"""Drawings of a plan: the hosts of a cluster, and what would go where.

`plan_svg(planned)` is the text of an SVG; `Planned` is what it draws.
"""

from nodeinit.diagram.plan.svg import plan_svg
from nodeinit.placement.planned import Planned

__all__ = ["Planned", "plan_svg"]
