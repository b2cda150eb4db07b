"""`nodeinit cache`: what is in a store of models, whether it is whole, and what may go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodeinit.cli.amounts import age, amount_of_bytes
from nodeinit.cli.errors import Commands
from nodeinit.cli.stores import store_of, store_option

if TYPE_CHECKING:
    from nodeinit.download.catalogue import Entry

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(cls=Commands)
def cache() -> None:
    """List, verify and prune the models in the store of this host."""


@cache.command()
@store_option
@_AS_JSON
def ls(store: Path | None, as_json: bool) -> None:
    """List the models: their revisions, what is there of each, and who uses it.

    A file that does not look as it did when it was published makes its model DAMAGED. No model is
    read; `nodeinit cache verify --full` does that.
    """
    from nodeinit.cli.shelf_lines import entry_dict, shelf_lines, warn_of_damage
    from nodeinit.download.catalogue import catalogue

    root = store_of(store)
    entries = catalogue(root)
    if as_json:
        click.echo(json.dumps([entry_dict(entry) for entry in entries], indent=2))
        return
    for line in shelf_lines(root, entries):
        click.echo(line)
    warn_of_damage(entries)


@cache.command()
@click.argument("model", required=False)
@click.option("--full", is_flag=True, help="Read every byte, not only of files that look changed.")
@store_option
@_AS_JSON
def verify(model: str | None, full: bool, store: Path | None, as_json: bool) -> None:
    """Say which files are not what was verified when they were fetched.

    MODEL is a model's id, a revision, or its beginning; without it, all are verified. What is found
    to be damaged is not taken for complete any more: the next fetch brings the bad files again.

    Exits with 0 when all is well, with 1 when a file is bad.
    """
    from nodeinit.cli.verifying import verified

    raise SystemExit(verified(store_of(store), model, full=full, as_json=as_json))


@cache.command()
@click.option(
    "--older-than", callback=age, metavar="AGE", help="Models unused for that long go: 12h, 30d."
)
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Keep N revisions of each model.")
@click.option(
    "--max-size",
    callback=amount_of_bytes,
    metavar="SIZE",
    help="The longest unused go until the store is that small: 500GiB.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@store_option
@_AS_JSON
def prune(
    older_than: float | None,
    keep: int | None,
    max_size: int | None,
    dry_run: bool,
    store: Path | None,
    as_json: bool,
) -> None:
    """Remove models that nobody uses, and what dead jobs left half-fetched.

    A model in use is never removed: that of a node between its download and its release, and one
    that is being fetched. --keep protects the last used revisions of each model from the other two
    options; alone, it removes all others. Without options only half-fetched files go.

    \b
      nodeinit cache prune --older-than 30d --keep 1   unused for a month, never the newest
      nodeinit cache prune --max-size 500GiB --dry-run what would go to make room
    """  # noqa: D301  click reads the \b
    from nodeinit.cli.prune_lines import prune_dict, prune_lines
    from nodeinit.download.catalogue import catalogue
    from nodeinit.download.pruning import Policy
    from nodeinit.download.pruning import prune as take_out

    root = store_of(store)
    policy = Policy(older_than, keep, max_size)
    results = take_out(catalogue(root), policy, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(prune_dict(results, dry_run=dry_run), indent=2))
        return
    for line in prune_lines(root, results, policy, dry_run=dry_run):
        click.echo(line)


def chosen(entries: tuple[Entry, ...], model: str | None, root: Path) -> tuple[Entry, ...]:
    """The revisions that a user means by the id of a model, a revision, or its beginning."""
    from nodeinit.errors import ConfigError, Fault, nearest

    if model is None:
        return entries
    found = tuple(
        entry
        for entry in entries
        if model in (entry.model_id, entry.shelf.model) or entry.shelf.revision.startswith(model)
    )
    if not found:
        known = sorted({entry.model_id for entry in entries})
        hint = nearest(model, known)
        remedy = (
            f"did you mean {hint!r}?"
            if hint
            else f"there are {', '.join(known)}"
            if known
            else "the store is empty"
        )
        raise ConfigError(Fault("MODEL", f"is not in {root}", repr(model), remedy), source="cache")
    return found
