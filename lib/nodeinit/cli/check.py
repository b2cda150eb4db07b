"""`nodeinit check`: property-test a callback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.machines import STANDARD, find_machine, importable_here
from nodeinit.cli.played import play
from nodeinit.errors import ConfigError, Fault, NodeInitError

if TYPE_CHECKING:
    from nodeinit.testing.report import CheckReport

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
@click.option(
    "--scenario", metavar="TEXT", help="Run this scenario alone, as a report printed it (or JSON)."
)
@click.option(
    "--machine",
    metavar="NAME",
    default=STANDARD,
    show_default=True,
    help="The machine that runs it: an installed one, or MODULE:ATTR.",
)
@click.option(
    "--report",
    "formats",
    metavar="FORMATS",
    default="text",
    show_default=True,
    help="What to write, with commas: text, json, junit, html, mermaid, pytest.",
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files of --report go. Text always goes to stdout.",
)
@click.option(
    "--save",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each failure to a file there, for `nodeinit replay`.",
)
@click.option(
    "--mutate",
    "mutating",
    is_flag=True,
    help="Change the callback in one place after the other, and list what no check minds.",
)
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
    hook_deadline: float | None,
    scenario: str | None,
    machine: str,
    formats: str,
    output: Path | None,
    save: Path | None,
    mutating: bool,
    real: int | None,
    as_json: bool,
) -> None:
    """Run a callback through many initializations, and say which laws of a hook it breaks.

    The machine is the real one; the cluster is in memory, time is virtual, and hosts die, downloads
    fail and somebody cancels at every moment. Nothing outside is touched but what the hooks touch.

    With --real-ray a callback that breaks no law also meets a real Ray, which is started on this
    machine with hosts whose GPUs do not exist, and is to end there as it does in memory.

    Exits with 0 when no law is broken, with 1 when one is (or Ray differs), with 2 when it could
    not be run. With --mutate, what survives is listed, and is no failure.
    """
    from nodeinit.testing.check import CallbackFailed, check_callback
    from nodeinit.testing.played import some
    from nodeinit.testing.saved import save as save_failures
    from nodeinit.testing.scenario_line import read_scenario

    importable_here()
    try:
        wanted = _formats(formats, output, as_json)
        find_machine(machine)  # so that a misspelt name is told as everywhere
        if mutating:
            _mutate(callback, json_object(kwargs), seed, machine, as_json)
            return
        report = check_callback(
            callback,
            kwargs=json_object(kwargs),
            profile=profile,
            seed=seed,
            hook_deadline=hook_deadline,
            scenarios=[read_scenario(scenario)] if scenario is not None else [],
            machine=machine,
            on_fail="return",
        )
        ok = report.ok
        played: dict[str, Any] = {}
        if real and ok:
            given = [read_scenario(scenario)] if scenario is not None else some(real)
            compared = play(callback, json_object(kwargs), given)
            ok, played = compared.ok, compared.to_dict()
        _print(report, wanted, output, as_json, played)
        if played and not as_json:
            click.echo(compared.text())
        for path in save_failures(report, save) if save is not None else ():
            click.echo(f"wrote {path}", err=True)
    except CallbackFailed as failed:  # of --mutate: there is no use in mutants of what is broken
        click.echo(failed.report.text())
        raise SystemExit(BROKEN) from None
    except NodeInitError as error:
        raise _unusable(error) from None
    raise SystemExit(0 if ok else BROKEN)


def _unusable(error: NodeInitError) -> SystemExit:
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
    return SystemExit(UNUSABLE)


def _mutate(callback: str, kwargs: dict[str, Any], seed: int, machine: str, as_json: bool) -> None:
    from nodeinit.testing.mutating import mutate

    found = mutate(callback, kwargs=kwargs, seed=seed, machine=machine)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.text())


def _formats(text: str, output: Path | None, as_json: bool) -> list[str]:
    """The formats that were asked for, before anything is run."""
    from nodeinit.testing.reporting.registry import known

    wanted = [name.strip() for name in text.split(",") if name.strip()]
    known(wanted)
    others = [name for name in wanted if name != "text"]
    if output is None and len(others) > (0 if as_json or "text" in wanted else 1):
        remedy = "say where their files go, with --output DIR"
        raise ConfigError(Fault("--report", "cannot all go to stdout", repr(text), remedy))
    return wanted


def _print(
    report: CheckReport,
    wanted: list[str],
    output: Path | None,
    as_json: bool,
    more: dict[str, Any],
) -> None:
    """Print or write a report; `more` goes into the JSON."""
    from nodeinit.testing.reporting.registry import render, write

    if as_json:
        click.echo(json.dumps({**report.to_dict(), **more}, indent=2))
    elif "text" in wanted:
        click.echo(report.text())
    others = [name for name in wanted if name != "text"]
    if output is not None:
        for path in write(report, others, output):
            click.echo(f"wrote {path}", err=True)
    else:
        for name in others:
            click.echo(render(report, name), nl=False)


def json_object(text: str | None) -> dict[str, Any]:
    """A JSON object from the command line."""
    try:
        found = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise ConfigError(Fault("--kwargs", f"is not JSON: {error}", text)) from None
    if not isinstance(found, dict):
        raise ConfigError(Fault("--kwargs", "is not a JSON object", text, "write '{\"a\": 1}'"))
    return found
