"""`nodeinit replay` of saved failures of a check: FIXED, FAILED or ERROR, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.machines import importable_here

if TYPE_CHECKING:
    from nodeinit.testing.replaying import Outcome


def is_saved_failure(path: Path) -> bool:
    """Whether a file holds failures of a check, and not a journal."""
    from nodeinit.testing.saved import holds_failures

    try:
        return holds_failures(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def replay_failures(path: Path, callback: str | None, as_json: bool) -> int:
    """Run the failures of a file again; the exit code is 0, 1 (one failed) or 2 (one cannot run)."""
    from nodeinit.testing.replaying import Verdict, try_again
    from nodeinit.testing.saved import load

    importable_here()
    outcomes = [try_again(saved, callback) for saved in load(path)]
    if as_json:
        click.echo(json.dumps([outcome.to_dict() for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            _tell(outcome, callback or outcome.saved.callback)
    verdicts = {outcome.verdict for outcome in outcomes}
    return 2 if Verdict.ERROR in verdicts else int(Verdict.FAILED in verdicts)


def _tell(outcome: Outcome, callback: str) -> None:
    from nodeinit.testing.scenario_line import to_line

    colours: dict[str, Any] = {"FIXED": "green", "FAILED": "red", "ERROR": "yellow"}
    verdict = click.style(str(outcome.verdict), fg=colours[outcome.verdict], bold=True)
    click.echo(f"{callback}: {outcome.saved.check} in {to_line(outcome.saved.scenario)}")
    for line in outcome.steps():
        click.echo(f"  {line}")
    click.echo(f"{verdict}  {outcome.why}")
