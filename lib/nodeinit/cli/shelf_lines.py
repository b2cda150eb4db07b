"""The models of a store in lines for people, and as JSON."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.amounts import size
from nodeinit.context import NodeModelDownloadable

if TYPE_CHECKING:
    from nodeinit.download.catalogue import Entry

_HOLDS = {
    NodeModelDownloadable.MODEL_AND_TOKENIZER: "all",
    NodeModelDownloadable.EXCLUDE_SAFETENSORS: "all but safetensors",
    NodeModelDownloadable.TOKENIZER_ONLY: "tokenizer",
}
_HEAD = ("MODEL", "REVISION", "HOLDS", "SIZE", "USED", "STATE")


def shelf_lines(root: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """A table of a store, and a line that sums it up."""
    if not entries:
        yield f"no models in {root}"
        return
    rows = [_HEAD, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for row in rows:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=False))
        yield "  ".join((*padded, row[-1])).rstrip()
    total = sum(entry.bytes + entry.staged for entry in entries)
    yield f"{size(total)} in {root}, {size(shutil.disk_usage(root).free)} free"


def state_of(entry: Entry) -> str:
    """How a revision is, in a few words."""
    if not entry.published:
        return f"unfinished: {size(entry.staged)} staged"
    parts = []
    if entry.problems:
        more = f" and {len(entry.problems) - 1} more" if len(entry.problems) > 1 else ""
        parts.append(f"DAMAGED: {entry.problems[0]}{more}")
    elif not entry.modes:
        parts.append("incomplete")
    if entry.staged:
        parts.append(f"{size(entry.staged)} staged")
    parts += [f"in use by {user}" for user in entry.users]
    return "; ".join(parts) or "ok"


def entry_dict(entry: Entry) -> dict[str, Any]:
    """A revision for programs: sizes in bytes, times in Unix seconds."""
    return {
        "model_id": entry.model_id,
        "revision": entry.shelf.revision,
        "path": str(entry.shelf.path),
        "modes": [str(mode) for mode in entry.modes],
        "files": entry.files,
        "bytes": entry.bytes,
        "staged": entry.staged,
        "last_used": entry.used,
        "in_use": [
            {"who": user.who, "host": user.host, "pid": user.pid, "since": user.since}
            for user in entry.users
        ],
        "damaged": [{"file": one.file, "problem": one.what} for one in entry.problems],
    }


def ago(moment: float) -> str:
    """How long ago a moment was: `just now`, `5 min ago`, `3 d ago`."""
    passed = max(0.0, time.time() - moment)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed // length:.0f} {unit} ago"
    return "just now"


def warn_of_damage(entries: Iterable[Entry]) -> None:
    """Say on stderr what to do about damaged models, if there are any."""
    if any(entry.problems for entry in entries):
        click.echo("the next fetch of a damaged model repairs it", err=True)


def _row(entry: Entry) -> tuple[str, ...]:
    holds = next((text for mode, text in _HOLDS.items() if mode in entry.modes), "-")
    return (
        entry.model_id,
        entry.shelf.revision,
        holds,
        size(entry.bytes + entry.staged),
        ago(entry.used) if entry.used else "-",
        state_of(entry),
    )
