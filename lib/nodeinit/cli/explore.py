"""`nodeinit explore`: run a callback through every sequence, until nothing new comes."""

from __future__ import annotations

import json
from typing import Any

import click

from nodeinit.cli.check import BROKEN, UNUSABLE, json_object
from nodeinit.cli.errors import Command
from nodeinit.cli.machines import importable_here
from nodeinit.errors import NodeInitError


@click.command(cls=Command)
@click.argument("callback", metavar="MODULE:CLASS")
@click.option("--kwargs", metavar="JSON", help="What its constructor gets, as a JSON object.")
@click.option(
    "--worlds",
    type=click.IntRange(1, 5),
    default=5,
    show_default=True,
    help="How many of the small worlds.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Retries and new plans on the way to what goes wrong next.",
)
@click.option("--depth", type=click.IntRange(0), help="How much may go wrong in all; no bound.")
@click.option(
    "--sequences",
    type=click.IntRange(1),
    default=50_000,
    show_default=True,
    help="Stop after so many, and say so.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def explore(
    callback: str, kwargs: str | None, as_json: bool, worlds: int, sequences: int, **bounds: Any
) -> None:
    """Run a callback through every sequence of what can go wrong, within bounds.

    At every await point a cancel comes or a host dies, at every call of the cluster it fails, and after
    each of these something else goes wrong, until nothing new comes: then no sequence of any length,
    within the bounds, was left out. The edges of the machine are listed with how often each was taken.

    Exits with 0 when no law is broken, with 1 when one is, with 2 when it could not be run.
    """
    from nodeinit.testing import explore as run
    from nodeinit.testing.exploring import SMALL

    importable_here()
    try:
        found = run(
            callback,
            kwargs=json_object(kwargs),
            worlds=SMALL[:worlds],
            max_retries=bounds["retries"],
            depth=bounds["depth"],
            max_sequences=sequences,
        )
    except NodeInitError as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        raise SystemExit(UNUSABLE) from None
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else _told(found))
    raise SystemExit(0 if found.ok else BROKEN)


def _told(found: Any) -> str:
    """The report, the edges with how often each was taken, and what to run for each broken law."""
    lines = [found.text()]
    if found.broken:
        lines += [
            f"  {check}: nodeinit check {found.callback} --scenario '{scenario.to_json()}'"
            for check, scenario in found.broken.items()
        ]
    width = max((len(str(times)) for times in found.visits.values()), default=1)
    for (before, event, after), times in sorted(found.visits.items()):
        lines.append(f"  {times:>{width}}  {before} {event} -> {after}")
    lines += [f"  {'never':>{width}}  {a} {event} -> {b}" for a, event, b in found.never]
    return "\n".join(lines)
