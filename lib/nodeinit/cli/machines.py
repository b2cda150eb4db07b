"""Finding the machine that somebody names on the command line."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodeinit.errors import ConfigError, Fault, NodeInitError, nearest

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition

STANDARD = "node_init"


def find_machine(name: str) -> Definition:
    """The machine of an installed name or of `MODULE:ATTR`.

    Raises `ConfigError` for one that does not exist, `DefinitionError` for one that is not sound.
    """
    if ":" not in name:
        from nodeinit.fsm.registry import load_machine

        return load_machine(name)
    return _imported(name)


def importable_here() -> None:
    """Let modules in the current directory be imported, as `python -m` does.

    An installed program does not do this by itself, and a callback usually lies beside its config.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _imported(path: str) -> Definition:
    from nodeinit.fsm.definition import Definition

    importable_here()
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise _fault(path, "is not an import path", 'write it as "package.module:ATTR"')
    try:
        module = importlib.import_module(module_name)
    except NodeInitError:
        raise
    except Exception as error:
        problem = f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        raise _fault(path, problem, "it must be importable from here (see PYTHONPATH)") from error
    found: Any = getattr(module, attribute, None)
    if isinstance(found, Definition):
        return found
    others = [name for name, value in vars(module).items() if isinstance(value, Definition)]
    hint = nearest(attribute, others) or ", ".join(others)
    remedy = f"did you mean {hint}?" if hint else "give the name of a nodeinit.Definition"
    what = "has no such attribute" if found is None else f"is a {type(found).__name__}"
    raise _fault(path, f"{what}, not a Definition" if found is not None else what, remedy)


def _fault(path: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError(Fault("machine", problem, repr(path), remedy), source="command line")
