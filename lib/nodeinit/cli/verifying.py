"""`nodeinit cache verify`: read what is published and say which files are bad."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from nodeinit.amounts import size
from nodeinit.cli.cache import chosen
from nodeinit.cli.consoles import console
from nodeinit.download.catalogue import Entry, catalogue, damage
from nodeinit.download.store import Problem


def verified(root: Path, model: str | None, *, full: bool, as_json: bool) -> int:
    """Verify models of a store and tell; the exit code: 0, or 1 when a file is bad."""
    entries = [entry for entry in chosen(catalogue(root), model, root) if entry.published]
    found: list[tuple[Entry, tuple[Problem, ...]]] = []
    for entry in entries:
        with _watched(entry) as on_chunk:
            problems = damage(entry, full=full, on_chunk=on_chunk)
        unsure = _spoil(entry, problems)
        found.append((entry, problems))
        if not as_json:
            _tell(entry, problems, unsure, full=full)
    if as_json:
        click.echo(json.dumps([_dict(entry, problems) for entry, problems in found], indent=2))
    elif not entries:
        click.echo(f"no models in {root}")
    return int(any(problems or not entry.modes for entry, problems in found))


def _tell(entry: Entry, problems: Iterable[Problem], unsure: bool, *, full: bool) -> None:
    problems = list(problems)
    click.echo(f"{entry.model_id} {entry.shelf.revision}: ", nl=False)
    if problems:
        click.secho(f"{len(problems)} BAD", fg="red", bold=True)
        for problem in problems:
            click.echo(f"  {entry.shelf.path / problem.file} {problem.what}")
        if unsure:
            click.echo("  this store cannot be written to: repair it where it is made")
        else:
            click.echo("  the next fetch repairs it")
    elif not entry.modes:
        click.secho("incomplete; the next fetch completes it", fg="yellow")
    else:
        how = "every byte read" if full else "all look as they did; --full reads every byte"
        click.echo(f"{entry.files} files, {size(entry.bytes)}, ok ({how})")


@contextlib.contextmanager
def _watched(entry: Entry) -> Iterator[Callable[[str, int], None]]:
    """What to call with every chunk that was read: a bar on a terminal, and an end by Ctrl-C."""
    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    bar = Progress(
        TextColumn("verifying {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task(entry.model_id, total=entry.bytes)

    def on_chunk(_file: str, count: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        bar.advance(task, count)

    try:
        with bar:
            yield on_chunk
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_set():
        raise KeyboardInterrupt


def _spoil(entry: Entry, problems: Iterable[Problem]) -> bool:
    """Make bad files look changed, so that nobody takes the model for complete any more.

    Their markers stay: they say what the files should be. `True` if one still looks right.
    """
    unsure = False
    for problem in problems:
        path = entry.shelf.path / problem.file
        with contextlib.suppress(FileNotFoundError):
            try:
                os.utime(path)
            except OSError:
                unsure = True
    return unsure


def _dict(entry: Entry, problems: Iterable[Problem]) -> dict[str, Any]:
    return {
        "model_id": entry.model_id,
        "revision": entry.shelf.revision,
        "path": str(entry.shelf.path),
        "complete": bool(entry.modes),
        "bad": [{"file": problem.file, "problem": problem.what} for problem in problems],
    }
