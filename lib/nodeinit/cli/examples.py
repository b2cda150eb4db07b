"""`nodeinit examples`: callbacks to copy. Also finds an example for `nodeinit run --example`."""

from __future__ import annotations

import ast
import importlib
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

import click

from nodeinit.cli.errors import Command
from nodeinit.errors import ConfigError, Fault, nearest

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

PACKAGE = "nodeinit.examples"


class Example(Protocol):
    """What the module of an example has; see `nodeinit.examples`."""

    HOSTS: int

    def config(self, source: str) -> LLMConfig:
        """The config that shows it, for the model in the directory `source`."""
        ...


@click.command(cls=Command)
@click.argument("name", required=False)
def examples(name: str | None) -> None:
    """List the examples, or print the source of one to copy.

    `nodeinit run --example NAME` runs it.
    """
    if name is not None:
        click.echo(source_of(name), nl=False)
        return
    width = max(map(len, names()), default=0)
    for found in names():
        click.echo(f"{found:{width}}  {summary_of(found)}")


def names() -> tuple[str, ...]:
    """The names of all examples."""
    files = (entry.name for entry in resources.files(PACKAGE).iterdir())
    return tuple(sorted(f[:-3] for f in files if f.endswith(".py") and not f.startswith("_")))


def source_of(name: str) -> str:
    """The source of an example. Raises `ConfigError` for one that there is not."""
    _check(name)
    return resources.files(PACKAGE).joinpath(f"{name}.py").read_text("utf-8")


def summary_of(name: str) -> str:
    """The first line of what an example says of itself."""
    text = ast.get_docstring(ast.parse(source_of(name))) or ""
    return text.partition("\n")[0]


def load_example(name: str) -> Any:
    """The module of an example. Raises `ConfigError` for one that there is not."""
    _check(name)
    return importlib.import_module(f"{PACKAGE}.{name}")


def _check(name: str) -> None:
    known = names()
    if name not in known:
        hint = nearest(name, known)
        remedy = f"did you mean {hint!r}?" if hint else f"there are {', '.join(known)}"
        raise ConfigError(
            Fault("example", "does not exist", repr(name), remedy), source="command line"
        )
