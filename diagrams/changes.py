"""The comparison of the gallery: the standard machine, and one that a user made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from nodeinit import Definition, Phase, load_machine
from nodeinit.diagram.diff import compare, markdown
from nodeinit.diagram.great import machine_svg


async def answer_once(ctx: Any, run: Any) -> Any:
    """The work of the phase that is new."""
    return ctx


def warm(old: Definition) -> Definition:
    """A phase more before `ready`, and a lost host that is always made good."""
    warmup = Phase("warmup", answer_once, summary="have the engine answer one request")
    new = old.with_phase(warmup, after="placement", hooks=("on_before_warmup",))
    edges = tuple(
        attrs.evolve(edge, guards=tuple(g for g in edge.guards if g.name != "heals"))
        for edge in new.edges
    )
    return attrs.evolve(new, edges=edges)


def files(directory: Path) -> dict[Path, str]:
    """The comparison as a picture and in words, by their paths in a directory."""
    old = load_machine("node_init")
    compared = compare(old.to_dict(), warm(old).to_dict())
    return {
        directory / "warmup.svg": machine_svg(compared),
        directory / "warmup.md": markdown(compared),
    }
