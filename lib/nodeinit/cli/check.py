"""`nodeinit check`: property-test a callback."""

from __future__ import annotations

import json
from typing import Any

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.machines import importable_here
from nodeinit.errors import ConfigError, Fault, NodeInitError

BROKEN, UNUSABLE = 1, 2


@click.command(cls=Command)
@click.argument("callback", metavar="MODULE:CLASS")
@click.option("--kwargs", metavar="JSON", help="What its constructor gets, as a JSON object.")
@click.option(
    "--profile",
    default="default",
    show_default=True,
    type=click.Choice(["quick", "default", "ci", "nightly"]),
    help="How much is tried.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Where chance begins.")
@click.option(
    "--hook-deadline", type=float, help="Seconds for each call of a hook, as in the config."
)
@click.option("--scenario", metavar="JSON", help="Run this scenario alone, as a report printed it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def check(
    callback: str,
    kwargs: str | None,
    profile: str,
    seed: int,
    hook_deadline: float | None,
    scenario: str | None,
    as_json: bool,
) -> None:
    """Run a callback through many initializations, and say which laws of a hook it breaks.

    The machine is the real one; the cluster is in memory, time is virtual, and hosts die, downloads
    fail and somebody cancels at every moment. Nothing outside is touched but what the hooks touch.

    Exits with 0 when no law is broken, with 1 when one is, with 2 when it could not be run.
    """
    from nodeinit.testing.check import check_callback
    from nodeinit.testing.scenario import Scenario

    importable_here()
    try:
        only = [Scenario.from_json(scenario)] if scenario is not None else []
        report = check_callback(
            callback,
            kwargs=_object(kwargs),
            profile=profile,
            seed=seed,
            hook_deadline=hook_deadline,
            scenarios=only,
            on_fail="return",
        )
    except NodeInitError as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        raise SystemExit(UNUSABLE) from None
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.text())
    raise SystemExit(0 if report.ok else BROKEN)


def _object(text: str | None) -> dict[str, Any]:
    """A JSON object from the command line."""
    try:
        found = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise ConfigError(Fault("--kwargs", f"is not JSON: {error}", text)) from None
    if not isinstance(found, dict):
        raise ConfigError(Fault("--kwargs", "is not a JSON object", text, "write '{\"a\": 1}'"))
    return found
