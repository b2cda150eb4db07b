"""What a run is to do: taken from the command line and checked before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from nodeinit.cli.cluster import Where
from nodeinit.cli.home import HOME_VARIABLE, home, journal_path, run_name
from nodeinit.cli.machines import find_machine, importable_here
from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault, JournalError
from nodeinit.node.initializer import NodeInitializer
from nodeinit.placement.request import PlacementRequest

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition


@attrs.frozen
class Job:
    """A run: what to bring up, where, by which machine. `finish` is called when it is over."""

    config: LLMConfig
    where: Where
    machine: Definition
    name: str
    journal: Path
    hold: bool = False
    finish: Callable[[], None] | None = None


def prepare(
    config: LLMConfig,
    where: Where,
    *,
    source: str,
    machine: str,
    journal: Path | None,
    store: Path | None,
    hold: bool,
    finish: Callable[[], None] | None = None,
) -> Job:
    """A job, once everything that can be checked here has been. `source` names the config.

    Raises `ConfigError`, `DefinitionError` or `JournalError`; nothing has been started then.
    """
    importable_here()
    config = _with_store(config, store)
    definition = find_machine(machine)
    _check(config, definition, source)
    name = run_name(config.model_id)
    path = (journal or journal_path(name)).absolute()
    _check_journal(path)
    return Job(config, where, definition, name, path, hold, finish)


def _with_store(config: LLMConfig, store: Path | None) -> LLMConfig:
    """Where models are published: as asked here, else by the config, else in our home if moved."""
    if store is None and config.nodeinit.given_store is None and os.environ.get(HOME_VARIABLE):
        if os.environ.get("NODEINIT_STORE"):
            return config
        store = home() / "models"
    if store is None:
        return config
    return config.evolve(nodeinit=attrs.evolve(config.nodeinit, store=str(store.absolute())))


def _check(config: LLMConfig, machine: Definition, source: str) -> None:
    """The parts of a config that only show when they are used: callbacks, and what is asked for."""
    try:
        node = NodeInitializer(config, machine=machine)  # makes the callbacks, starts nothing
        if not node.callbacks:  # one of them may bring another request
            PlacementRequest.from_config(config)
    except ConfigError as error:
        raise ConfigError(error.faults, source=source) from error


def _check_journal(path: Path) -> None:
    if path.exists():
        raise JournalError(
            f"{path}: exists already; a journal belongs to one run, give another path to --journal"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"its directory cannot be made: {error.strerror}"
        raise _bad_journal(path, problem) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _bad_journal(path, "its directory cannot be written to")


def _bad_journal(path: Path, problem: str) -> ConfigError:
    fault = Fault("--journal", problem, repr(str(path)), "give another path")
    return ConfigError(fault, source="command line")
