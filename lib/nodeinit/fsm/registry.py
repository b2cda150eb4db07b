"""Finding machines: ours and a user's alike come from the entry-point group `nodeinit.machines`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from nodeinit.errors import ConfigError, Fault, NodeInitError, nearest
from nodeinit.fsm.definition import Definition

GROUP = "nodeinit.machines"


def machines() -> dict[str, EntryPoint]:
    """Every machine that is installed, by name; nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def load_machine(name: str) -> Definition:
    """The machine of this name. Raises `ConfigError` for an unknown name or a plugin that breaks."""
    found = machines()
    if name not in found:
        hint = nearest(name, found)
        remedy = f"did you mean {hint!r}?" if hint else f"installed: {', '.join(found) or 'none'}"
        raise ConfigError(Fault("machine", "is not installed", repr(name), remedy), source=GROUP)
    point = found[name]
    try:
        definition = point.load()
    except NodeInitError:
        raise
    except Exception as error:
        problem = f"its plugin {point.value} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(Fault("machine", problem, repr(name)), source=GROUP) from error
    if not isinstance(definition, Definition):
        problem = f"{point.value} is a {type(definition).__name__}, not a Definition"
        raise ConfigError(Fault("machine", problem, repr(name)), source=GROUP)
    return definition
