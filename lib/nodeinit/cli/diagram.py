"""`nodeinit diagram`: a machine as a picture or a table."""

from __future__ import annotations

from pathlib import Path

import click

from nodeinit.cli.embedding import HOW, embed_in
from nodeinit.cli.errors import Command
from nodeinit.cli.machines import STANDARD, find_machine
from nodeinit.errors import ConfigError, Fault


@click.command(cls=Command, epilog=HOW)
@click.argument("machine", default=STANDARD)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; its suffix is the format (.svg, .mmd, .dot, .md, .json). Default: stdout.",
)
@click.option(
    "--format", "format_", help="The format: mmd (Mermaid, the default), svg, dot, md or json."
)
@click.option(
    "--run",
    "journal",
    metavar="JOURNAL",
    type=click.Path(path_type=Path),
    help="Draw what a run did, from its journal, over its machine (SVG).",
)
@click.option(
    "--embed",
    "pages",
    metavar="PAGE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Bring the diagrams inside a Markdown file up to date; may be given several times.",
)
@click.option(
    "--check", is_flag=True, help="With --embed: write nothing, exit with 1 on a difference."
)
def diagram(
    machine: str,
    output: Path | None,
    format_: str | None,
    journal: Path | None,
    pages: tuple[Path, ...],
    check: bool,
) -> None:
    """Draw a machine (SVG, Mermaid, Graphviz, a Markdown table, JSON), or a run of one (SVG).

    MACHINE is an installed machine or MODULE:ATTR. With --run it is the journal's own.
    """
    if pages or check:
        embed_in(pages, check)
        return
    from nodeinit.diagram import registry
    from nodeinit.diagram.writing import write_text

    if journal is not None:
        text = _run(journal, output, format_)
    elif output is not None and format_ is None:
        registry.write(find_machine(machine), output)
        click.echo(f"wrote {output}", err=True)
        return
    else:
        text = registry.render(find_machine(machine), format_ or "mmd")
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    click.echo(f"wrote {output}", err=True)


def _run(journal: Path, output: Path | None, format_: str | None) -> str:
    from nodeinit.cli.replay import replayed
    from nodeinit.diagram.registry import to_svg
    from nodeinit.fsm.journal import load_policy

    asked = format_ or (output.suffix.removeprefix(".") if output is not None else "svg")
    if asked.lower() != "svg":
        problem = f"a run is drawn as svg, not as {asked!r}"
        raise ConfigError(Fault("format", problem, remedy="write -o run.svg"))
    definition, found = replayed(journal, None)
    return to_svg(definition, load_policy(found.header["policy"]), found.steps)
