"""`nodeinit snapshot`: save what a cluster is, to plan against it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.where import cluster_options, where_of


@click.command(cls=Command)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. Default: stdout.",
)
@cluster_options
def snapshot(output: Path | None, **options: Any) -> None:
    """Save a cluster as JSON, for `nodeinit plan --cluster`.

    That is its hosts, what is free of them, and its placement groups.
    """
    where = where_of(options)

    from nodeinit.cli.observe import observed
    from nodeinit.diagram.writing import write_text
    from nodeinit.placement.snapshot_file import snapshot_text

    found = observed(where)
    if output is None:
        click.echo(snapshot_text(found), nl=False)
        return
    write_text(output, snapshot_text(found))
    hosts = "one host" if len(found.hosts) == 1 else f"{len(found.hosts)} hosts"
    click.echo(f"wrote {output}: {hosts}", err=True)
