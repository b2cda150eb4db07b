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
    help="The file to write; its suffix is the format (.svg, .html, .mmd, .dot, .md, .json; "
    "by Graphviz .png, .pdf). Default: stdout.",
)
@click.option(
    "--format",
    "format_",
    help="The format: mmd (Mermaid, the default), svg, html, dot, md or json.",
)
@click.option(
    "--run",
    "journal",
    metavar="JOURNAL",
    type=click.Path(path_type=Path),
    help="Draw what a run did, from its journal: over its machine, in time, on its hosts.",
)
@click.option(
    "--watch",
    "watched",
    metavar="JOURNAL",
    type=click.Path(path_type=Path),
    help="Follow a run that goes on: here, on a page on loopback, and in the file of -o (.html).",
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
    watched: Path | None,
    pages: tuple[Path, ...],
    check: bool,
) -> None:
    """Draw a machine (SVG, Mermaid, Graphviz, a Markdown table, JSON, a page), or a run of one.

    MACHINE is an installed machine or MODULE:ATTR. With --run it is the journal's own, and the
    formats are svg, html (a page that needs nothing else) and md (for an issue or a comment).
    With --watch the exit code is that of the run: 0 released, 3 infeasible, 4 failed or killed,
    5 cancelled.
    """
    if pages or check:
        embed_in(pages, check)
        return
    if watched is not None:
        raise SystemExit(_watch(watched, output, journal, format_))
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


def _watch(watched: Path, output: Path | None, journal: Path | None, format_: str | None) -> int:
    from nodeinit.cli.watching import watch

    if journal is not None:
        raise click.UsageError("--watch follows a run, --run draws one: give one of them")
    html_only(output, format_, "--watch")
    return watch(watched, output)


def html_only(output: Path | None, format_: str | None, option: str) -> None:
    """Refuse what is no page: only a page can be kept up to date."""
    suffix = output.suffix.lower() if output is not None else ".html"
    if suffix not in (".html", ".htm") or (format_ or "html").lower() != "html":
        asked = repr(str(output)) if output is not None else repr(format_)
        problem = f"{option} keeps a page up to date, and this is none"
        raise ConfigError(Fault("output file", problem, asked, "write page.html"))


def _run(journal: Path, output: Path | None, format_: str | None) -> str:
    from nodeinit.cli.replay import replayed
    from nodeinit.diagram.run import RunRecord

    asked = format_ or (output.suffix.removeprefix(".") if output is not None else "svg")
    draw = {"svg": RunRecord.to_svg, "html": RunRecord.to_html, "md": RunRecord.to_markdown}
    if asked.lower() not in draw:
        problem = f"a run is drawn as svg, html or md, not as {asked!r}"
        raise ConfigError(Fault("format", problem, remedy="write -o run.svg, run.html or run.md"))
    return draw[asked.lower()](RunRecord.of(*replayed(journal, None)))
