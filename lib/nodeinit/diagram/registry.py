"""The formats that a machine can be written in, by name, which is also the suffix of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from nodeinit.diagram import graphviz
from nodeinit.diagram.dot import render_dot
from nodeinit.diagram.great import machine_svg, overlay_of
from nodeinit.diagram.ir import diagram_of
from nodeinit.diagram.machine_page import render_page
from nodeinit.diagram.mermaid import render_mermaid
from nodeinit.diagram.table import render_table
from nodeinit.diagram.writing import write_bytes, write_text
from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm import drawing
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Step

Renderer: TypeAlias = Callable[[Definition], str]
"""Turns a definition into the text of a file. The same definition must give the same text."""


def to_mermaid(definition: Definition, active: str | None = None, nested: bool = True) -> str:
    """A machine as the source of a Mermaid state diagram, in which the state `active` stands out.

    What all phases do alike leads out of a box around them, unless it is not to be `nested`.
    """
    return render_mermaid(diagram_of(definition), active, nested)


def to_svg(
    definition: Definition, policy: Policy | None = None, run: Sequence[Step] | None = None
) -> str:
    """A machine as an SVG; with a policy, its phases say how patient it is with them.

    That is the machine's own policy, if none is given. With the steps of a `run` (of
    `NodeInitializer.steps`, or of a journal's `replay`) what that did stands out: the edges it took,
    numbered with times, and where it stands and why.
    """
    overlay = overlay_of(definition, run) if run is not None else None
    return machine_svg(diagram_of(definition), policy or definition.policy, overlay)


def to_dot(definition: Definition) -> str:
    """A machine as the source of a drawing by Graphviz."""
    return render_dot(diagram_of(definition))


def to_table(definition: Definition) -> str:
    """A machine as a Markdown page: its states, what happens on which event, its hooks."""
    return render_table(diagram_of(definition), definition.policy)


def to_html(definition: Definition, policy: Policy | None = None) -> str:
    """A machine as a page that needs nothing else: its picture, its tables, and its sources."""
    patient = policy or definition.policy
    return render_page(diagram_of(definition), to_json(definition), patient)


def to_json(definition: Definition) -> str:
    """A machine's canonical form as JSON, in ASCII and with the order of the definition."""
    return json.dumps(definition.to_dict(), indent=2) + "\n"


_renderers: dict[str, Renderer] = {
    "svg": to_svg,
    "mmd": to_mermaid,
    "dot": to_dot,
    "md": to_table,
    "json": to_json,
    "html": to_html,
}


def formats() -> tuple[str, ...]:
    """The names of all formats: ours first, then what is registered or installed beside them."""
    return tuple(dict.fromkeys([*_renderers, *drawing.renderers()]))


def register(format: str, renderer: Renderer) -> None:
    """Add a format of one's own; it is also the suffix of its files, so `"puml"`, not `".puml"`.

    It lasts as long as this process. A package adds one for all by an entry point in the group
    `nodeinit.renderers`: the format, and the renderer. Raises `ValueError` for a name that cannot be
    a suffix or that is taken by another renderer.
    """
    name = format.lower()
    if not name.isalnum():
        raise ValueError(f"format {format!r} must be letters and digits, as a file's suffix is")
    if _renderers.setdefault(name, renderer) is not renderer:
        raise ValueError(f"format {format!r} has a renderer already; choose another name")


def render(definition: Definition, format: str) -> str:
    """A machine in a format. Raises `ConfigError` naming the known ones for an unknown format."""
    name = format.lower()
    if name in graphviz.FORMATS and name not in formats():
        remedy = f"write it to a file, as with `-o machine.{name}`"
        raise ConfigError(
            Fault("format", "is drawn by Graphviz, and no text", repr(format), remedy)
        )
    if name not in formats():
        raise ConfigError(Fault("format", "is not known", repr(format), f"known: {_known()}"))
    renderer = _renderers.get(name) or drawing.renderer(name)
    text: str = renderer(definition)
    return text


def write(definition: Definition, path: Path | str) -> None:
    """Write a machine to a file, in the format that its suffix names.

    `.png`, `.pdf` and `.dot.svg` are drawn by Graphviz. Raises `ConfigError` when no renderer has this
    suffix, when Graphviz is needed and not installed, or when the file cannot be written.
    """
    path = Path(path)
    format = path.suffix.removeprefix(".").lower()
    if format in formats() and not path.name.lower().endswith(".dot.svg"):
        write_text(path, render(definition, format))
    elif format in graphviz.FORMATS:
        write_bytes(path, graphviz.drawn(to_dot(definition), format))
    else:
        problem = f"no renderer has the suffix {path.suffix!r}" if format else "it has no suffix"
        known = f"known: {_known()}; and, by Graphviz, .png, .pdf, .dot.svg"
        raise ConfigError(Fault("output file", problem, repr(str(path)), known))


def _known() -> str:
    return ", ".join(f".{format}" for format in formats())
