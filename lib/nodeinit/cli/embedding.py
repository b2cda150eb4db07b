"""`nodeinit diagram --embed PAGE`: diagrams inside Markdown files, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nodeinit.cli.machines import find_machine
from nodeinit.errors import ConfigError, Fault

HOW = """
With --embed a page says itself what it shows, in pairs of comments:

\b
  <!-- nodeinit diagram node_init mmd -->
  <!-- nodeinit end -->

What stands between them is replaced. Instead of mmd also dot, md or json; or a file to write beside
the page and to show there, such as pictures/node_init.svg.
"""

DRIFTED = 1
"""The exit code where a page is not what the code says, as `diff` has it."""


def embed_in(pages: Sequence[Path], check: bool) -> None:
    """Write what differs in the pages and their pictures; with `check` only say what does, and exit.

    Every page is read before any is written, so a fault in one leaves all as they are.
    """
    from nodeinit.diagram.embed import embedded
    from nodeinit.diagram.writing import write_text

    if not pages:
        raise click.UsageError("--check needs the pages to look at: --embed PAGE")
    wanted: dict[Path, str] = {}
    for page in pages:
        wanted |= embedded(_read(page), page, find_machine)
    differs = [path for path, text in wanted.items() if not path.exists() or _read(path) != text]
    for path in differs:
        if check:
            click.echo(
                f"{path} differs from the code; `nodeinit diagram --embed` mends it", err=True
            )
        else:
            write_text(path, wanted[path])
            click.echo(f"wrote {path}", err=True)
    if check and differs:
        raise SystemExit(DRIFTED)
    if not differs:
        click.echo("up to date", err=True)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(Fault("page", f"cannot be read: {why}", repr(str(path)))) from error
