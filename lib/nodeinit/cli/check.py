"""`nodeinit check`: property-test a callback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.machines import importable_here
from nodeinit.cli.played import Played, play
from nodeinit.errors import ConfigError, Fault, NodeInitError

if TYPE_CHECKING:
    from nodeinit.testing.scenario import Scenario

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
@click.option("--scenario", metavar="JSON", help="Run this scenario alone, as a report printed it.")
@click.option(
    "--real-ray",
    "real",
    metavar="[N]",
    is_flag=False,
    flag_value=12,
    type=click.IntRange(1, 60),
    help="Then play N scenarios (12, at most 60; or --scenario) on a real Ray too, and compare.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def check(
    callback: str,
    kwargs: str | None,
    profile: str,
    seed: int,
    scenario: str | None,
    real: int | None,
    as_json: bool,
) -> None:
    """Run a callback through many initializations, and say which laws of a hook it breaks.

    The machine is the real one; the cluster is in memory, time is virtual, and hosts die, downloads
    fail and somebody cancels at every moment. Nothing outside is touched but what the hooks touch.

    With --real-ray a callback that breaks no law also meets a real Ray, which is started on this
    machine with hosts whose GPUs do not exist, and is to end there as it does in memory.

    Exits with 0 when no law is broken, with 1 when one is (or Ray differs), with 2 when it could
    not be run.
    """
    from nodeinit.testing.check import check_callback
    from nodeinit.testing.played import some
    from nodeinit.testing.scenario import Scenario

    importable_here()
    try:
        only = [Scenario.from_json(scenario)] if scenario is not None else []
        report = check_callback(
            callback,
            kwargs=_object(kwargs),
            profile=profile,
            seed=seed,
            scenarios=only,
            on_fail="return",
        )
    except NodeInitError as error:
        raise _unusable(error) from None
    found = report.to_dict()
    if not as_json:
        click.echo(report.text())
    ok = report.ok
    if real and report.ok:
        played = _played(callback, _object(kwargs), only or some(real))
        ok, found = played.ok, {**found, **played.to_dict()}
        if not as_json:
            click.echo(played.text())
    if as_json:
        click.echo(json.dumps(found, indent=2))
    raise SystemExit(0 if ok else BROKEN)


def _played(callback: str, kwargs: dict[str, Any], scenarios: Sequence[Scenario]) -> Played:
    try:
        return play(callback, kwargs, scenarios)
    except NodeInitError as error:
        raise _unusable(error) from None


def _unusable(error: NodeInitError) -> SystemExit:
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
    return SystemExit(UNUSABLE)


def _object(text: str | None) -> dict[str, Any]:
    """A JSON object from the command line."""
    try:
        found = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise ConfigError(Fault("--kwargs", f"is not JSON: {error}", text)) from None
    if not isinstance(found, dict):
        raise ConfigError(Fault("--kwargs", "is not a JSON object", text, "write '{\"a\": 1}'"))
    return found
