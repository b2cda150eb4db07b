"""`nodeinit replay`: what happened in a run, from its journal; or a saved failure, run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.errors import Command
from nodeinit.cli.failures import is_saved_failure, replay_failures
from nodeinit.cli.machines import find_machine
from nodeinit.errors import ConfigError, JournalError

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition
    from nodeinit.fsm.replay import Replay


@click.command(cls=Command)
@click.argument("journal", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("callback", metavar="[MODULE:CLASS]", required=False)
@click.option("--machine", help="The machine it belongs to, if not the one that the journal names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def replay(journal: Path, callback: str | None, machine: str | None, as_json: bool) -> None:
    """Tell what happened in a run, from its journal, or run a saved failure of a check again.

    Takes the journal's events through the machine again, without doing anything, and says where
    the machine would decide otherwise today.

    A failure that `nodeinit check --save DIR` or `--report json` wrote is run again, with MODULE:CLASS
    in the place of its callback if that is given: FIXED (exit code 0), FAILED (1) or ERROR (2).
    """
    if is_saved_failure(journal):
        raise SystemExit(replay_failures(journal, callback, as_json))
    if callback is not None:
        raise click.UsageError("MODULE:CLASS goes with a saved failure, and this is none")
    definition, found = replayed(journal, machine)
    if as_json:
        click.echo(json.dumps(_to_dict(definition, found), indent=2, default=repr))
    else:
        for line in _lines(definition, found):
            click.echo(line)


def replayed(journal: Path, machine: str | None) -> tuple[Definition, Replay]:
    """The machine of a journal, the one named unless that is `None`, and what the journal tells."""
    from nodeinit.fsm.replay import read_journal
    from nodeinit.fsm.replay import replay as take_again

    header, _, torn = read_journal(journal)
    if not header:
        what = "holds only the torn first line of one" if torn else "is empty"
        raise JournalError(f"{journal}: {what}, so there is nothing to replay")
    definition = _machine_of(journal, header) if machine is None else find_machine(machine)
    return definition, take_again(journal, definition)


def _machine_of(journal: Path, header: dict[str, Any]) -> Definition:
    try:
        return find_machine(header["machine"])
    except ConfigError as error:
        raise JournalError(
            f"{journal}: belongs to the machine {header['machine']!r}, which cannot be found here; "
            f"install its package, or name it with --machine MODULE:ATTR ({error})"
        ) from error


def _explained(found: Replay) -> str:
    from nodeinit.fsm.explain import explain
    from nodeinit.fsm.journal import load_policy

    return explain(found.steps, load_policy(found.header["policy"]))


def _lines(definition: Definition, found: Replay) -> Iterator[str]:
    from nodeinit.amounts import seconds
    from nodeinit.cli.lines import step_lines

    header = found.header
    yield f"journal  {found.path}"
    yield f"machine  {header['machine']} (definition {header['definition']})"
    yield f"node     {header['node']}, began {header['began']}"
    yield ""
    for step in found.steps:
        yield from step_lines(step)
    if found.steps:
        last = found.steps[-1]
        yield ""
        yield f"end      {last.after.state} after {seconds(last.at)}"
    yield f"explain  {_explained(found)}"
    for note in _notes(definition, found):
        yield f"note     {note}"


def _notes(definition: Definition, found: Replay) -> Iterator[str]:
    from nodeinit.fsm.events import FINALS
    from nodeinit.fsm.journal import digest

    if found.torn:
        yield "the last line is torn (the run was killed while it was written) and is left out"
    if found.snapshot is not None and found.snapshot.state not in FINALS:
        yield "the run did not come to its end in this journal: it goes on, or it was killed"
    if found.header["definition"] != digest(definition):
        yield f"the machine has changed since; its definition is {digest(definition)} today"
    for drift in found.drift:
        yield f"this machine would decide otherwise today: {drift}"


def _to_dict(definition: Definition, found: Replay) -> dict[str, Any]:
    from nodeinit.fsm.explain import phase_seconds
    from nodeinit.fsm.journal import dump_step

    return {
        "journal": found.path,
        "header": found.header,
        "steps": [dump_step(step, definition.codec) for step in found.steps],
        "state": found.snapshot.state if found.snapshot else None,
        "seconds": phase_seconds(found.steps),
        "explain": _explained(found),
        "torn": found.torn,
        "drift": list(found.drift),
    }
