"""Which store a command is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from nodeinit.cli.home import HOME_VARIABLE, home

F = TypeVar("F", bound=Callable[..., Any])


def store_option(command: F) -> F:
    """Give a command `--store`."""
    return click.option(
        "--store",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="The directory where models are. Default: $NODEINIT_STORE, or ~/.cache/nodeinit/models.",
    )(command)


def store_of(given: Path | None) -> Path:
    """The store that is meant: as asked, else by the environment, else in the program's home."""
    from nodeinit.config.parts import DEFAULT_STORE, STORE_VARIABLE

    if given is not None:
        return given.expanduser().absolute()
    if named := os.environ.get(STORE_VARIABLE):
        return Path(named).expanduser().absolute()
    if os.environ.get(HOME_VARIABLE):
        return home() / "models"
    return Path(DEFAULT_STORE).expanduser().absolute()
