"""`nodeinit diagram`: a machine as a picture or a table."""

from __future__ import annotations

from pathlib import Path

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.machines import STANDARD, find_machine


@click.command(cls=Command)
@click.argument("machine", default=STANDARD)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; its suffix is the format (.svg, .mmd, .md, .json). Default: stdout.",
)
@click.option(
    "--format", "format_", help="The format: mmd (Mermaid, the default), svg, md or json."
)
def diagram(machine: str, output: Path | None, format_: str | None) -> None:
    """Draw a machine: as an SVG, a Mermaid diagram, a Markdown table, or JSON.

    MACHINE is an installed machine or MODULE:ATTR.
    """
    from nodeinit.diagram import registry
    from nodeinit.diagram.writing import write_text

    definition = find_machine(machine)
    if output is None:
        click.echo(registry.render(definition, format_ or "mmd"), nl=False)
    elif format_ is None:
        registry.write(definition, output)
        click.echo(f"wrote {output}", err=True)
    else:
        write_text(output, registry.render(definition, format_))
        click.echo(f"wrote {output}", err=True)
