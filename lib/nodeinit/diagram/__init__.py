"""Drawings of a machine: one representation (`Diagram`), and renderers over it.

`to_mermaid(definition)` and `to_table(definition)` give text; `render` and `write` choose the
renderer by format or by a file's suffix, and `register` adds one.
"""

from nodeinit.diagram.ir import Diagram, StateKind, diagram_of
from nodeinit.diagram.registry import (
    Renderer,
    formats,
    register,
    render,
    to_dot,
    to_html,
    to_json,
    to_mermaid,
    to_svg,
    to_table,
    write,
)

__all__ = [
    "Diagram",
    "Renderer",
    "StateKind",
    "diagram_of",
    "formats",
    "register",
    "render",
    "to_dot",
    "to_html",
    "to_json",
    "to_mermaid",
    "to_svg",
    "to_table",
    "write",
]
