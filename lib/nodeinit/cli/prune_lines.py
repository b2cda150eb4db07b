"""What a pruning did, in lines for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nodeinit.amounts import size
from nodeinit.cli.shelf_lines import ago
from nodeinit.download.pruning import Policy, Pruned


def prune_lines(
    root: Path, results: Sequence[Pruned], policy: Policy, *, dry_run: bool
) -> Iterator[str]:
    """A line for each revision that went or stayed although it should go, then the sum."""
    verb, did = ("would free", "would be freed") if dry_run else ("freed", "freed")
    for result in results:
        name = f"{result.entry.model_id} {result.entry.shelf.revision}"
        staged = " (half-fetched)" if result.what == "staging" else ""
        if result.why is not None:
            yield f"kept   {name}{staged}: {result.why}"
        else:
            used = "" if staged else f", used {ago(result.entry.used)}"
            yield f"{verb} {size(result.freed)}: {name}{staged}{used}"
    yield f"{size(sum(result.freed for result in results))} {did} in {root}"
    if not policy.takes_models:
        yield "no model was asked to go: see --older-than, --keep and --max-size"


def prune_dict(results: Sequence[Pruned], *, dry_run: bool) -> dict[str, Any]:
    """The same for programs, in bytes."""
    return {
        "dry_run": dry_run,
        "freed": sum(result.freed for result in results),
        "removed": [_dict(result) for result in results if result.why is None],
        "kept": [_dict(result) | {"why": result.why} for result in results if result.why],
    }


def _dict(result: Pruned) -> dict[str, Any]:
    return {
        "model_id": result.entry.model_id,
        "revision": result.entry.shelf.revision,
        "what": result.what,
        "bytes": result.freed,
    }
