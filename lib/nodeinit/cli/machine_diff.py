"""`nodeinit machine diff`: what changed between two releases of a machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.machines import find_machine
from nodeinit.errors import ConfigError, Fault

DIFFERENT = 1
"""The exit code where two machines are not the same, as `diff` has it."""

_FORMATS = {"svg": "svg", "html": "html", "md": "md", "json": "json", "txt": "text"}


@click.command(cls=Command)
@click.argument("old")
@click.argument("new", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; its suffix is the format (.svg, .html, .md, .json, .txt). Default: stdout.",
)
@click.option(
    "--format", "format_", type=click.Choice(sorted(_FORMATS.values())), help="The format."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def diff(
    old: str, new: str | None, output: Path | None, format_: str | None, as_json: bool
) -> None:
    """Tell or draw what changed between two releases of a machine.

    OLD and NEW are files of its canonical form (`nodeinit diagram MACHINE -o machine.json`),
    installed machines, or MODULE:ATTR. Without NEW it is the installed machine of OLD's name.

    Exits with 0 where both are the same, 1 where they differ, 2 where one cannot be read.
    """
    from nodeinit.diagram.diff import compare, differs
    from nodeinit.diagram.writing import write_text

    before = _canonical(old)
    after = _canonical(new) if new is not None else find_machine(before["name"]).to_dict()
    compared = compare(before, after)
    written = _told(compared, format_ or ("json" if as_json else _format_of(output)))
    if output is None:
        click.echo(written, nl=False)
    else:
        write_text(output, written)
        click.echo(f"wrote {output}", err=True)
    if differs(compared):
        raise SystemExit(DIFFERENT)


def _canonical(machine: str) -> dict[str, Any]:
    from nodeinit.diagram.diff import read

    path = Path(machine)
    if path.suffix == ".json" or path.is_file():
        return read(path)
    return find_machine(machine).to_dict()


def _format_of(output: Path | None) -> str:
    if output is None:
        return "text"
    suffix = output.suffix.removeprefix(".").lower()
    if suffix not in _FORMATS:
        known = ", ".join(f".{known}" for known in _FORMATS)
        problem = f"a comparison is not written as {output.suffix!r}"
        raise ConfigError(Fault("output file", problem, repr(str(output)), f"known: {known}"))
    return _FORMATS[suffix]


def _told(compared: Any, format: str) -> str:
    from nodeinit.diagram import diff as diffs
    from nodeinit.diagram.great import machine_svg

    match format:
        case "svg":
            return machine_svg(compared)
        case "html":
            return diffs.html(compared)
        case "md":
            return diffs.markdown(compared)
        case "json":
            return json.dumps(diffs.to_dict(compared), indent=2) + "\n"
        case _:
            return diffs.text(compared)
