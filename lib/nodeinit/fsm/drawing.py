"""Who can draw a machine: found by the entry-point group `nodeinit.renderers`, ours like others'.

So a machine can draw itself, and yet this package knows nothing of drawing.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from nodeinit.errors import ConfigError, Fault, NodeInitError, nearest

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition

GROUP = "nodeinit.renderers"


@functools.cache
def renderers() -> dict[str, EntryPoint]:
    """Every renderer that is installed, by its format; nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def renderer(format: str) -> Any:
    """The renderer of a format. Raises `ConfigError` for an unknown one, or one that breaks."""
    point = renderers().get(format)
    if point is None:
        known = ", ".join(renderers()) or "none; is nodeinit installed, or only on the path?"
        hint = nearest(format, renderers())
        remedy = f"did you mean {hint!r}?" if hint else f"installed: {known}"
        raise ConfigError(Fault("format", "is not known", repr(format), remedy), source=GROUP)
    try:
        return point.load()
    except NodeInitError:
        raise
    except Exception as error:
        problem = f"its plugin {point.value} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(Fault("format", problem, repr(format)), source=GROUP) from error


def drawn(definition: Definition, format: str, **options: Any) -> str:
    """A machine in a format, by whichever renderer is installed for that. Raises as `renderer`."""
    text: str = renderer(format)(definition, **options)
    return text
