"""Takes models out of a store that nobody uses, and what dead jobs left in its staging.

Whoever wants a model marks it before he asks whether it is complete; whoever prunes it withdraws its
markers before he asks, for the second time, whether it is marked. So one of them sees the other:
either the model stays, or its user sees that it is not complete and fetches it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import attrs

from nodeinit.download import marks
from nodeinit.download.catalogue import Entry
from nodeinit.download.disk import fsync_directory, write_synced
from nodeinit.download.locks import Lock, Timeout
from nodeinit.download.markers import unmark
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META
from nodeinit.download.store import Shelf

RESUMABLE = 600.0
"""Seconds for which what was staged is left alone: its job may be waiting for its next try."""


@attrs.frozen
class Policy:
    """Which models go: `None` everywhere takes none.

    Those unused for `older_than` seconds go, and then the longest unused until the store has at
    most `max_size` bytes; never one of the `keep` last used revisions of a model. With `keep` alone
    all others go.
    """

    older_than: float | None = None
    keep: int | None = None
    max_size: int | None = None

    @property
    def takes_models(self) -> bool:
        """Whether it takes anything but what dead jobs left."""
        return self != Policy()


@attrs.frozen
class Pruned:
    """What became of one revision: `freed` bytes, or `why` it stays although it should go."""

    entry: Entry
    freed: int = 0
    why: str | None = None
    what: str = "model"


def choose(entries: Sequence[Entry], policy: Policy, now: float) -> tuple[Entry, ...]:
    """The published revisions that should go, longest unused first; `now` is Unix time, seconds."""
    present = [entry for entry in entries if entry.published]
    oldest = sorted(present, key=lambda entry: (entry.used, entry.model_id, entry.shelf.revision))
    safe = set(_kept(present, policy.keep or 0))
    loose = [entry for entry in oldest if entry not in safe]
    if policy.older_than is None and policy.max_size is None:
        return () if policy.keep is None else tuple(loose)
    gone = []
    if policy.older_than is not None:
        gone = [entry for entry in loose if now - entry.used >= policy.older_than]
    if policy.max_size is not None:
        # What is in use takes room too, but cannot make any.
        left = sum(entry.bytes for entry in present) - sum(entry.bytes for entry in gone)
        for entry in loose:
            if left > policy.max_size and entry not in gone and not entry.users:
                gone.append(entry)
                left -= entry.bytes
    return tuple(gone)


def prune(entries: Sequence[Entry], policy: Policy, *, dry_run: bool = False) -> tuple[Pruned, ...]:
    """Take out what `policy` says, and the staging of dead jobs; with `dry_run` only say so.

    A model in use stays, and so does one that somebody is fetching. Raises what explains an
    `OSError`; what was taken out until then is gone.
    """
    now = time.time()
    patience = RESUMABLE if policy.older_than is None else min(RESUMABLE, policy.older_than)
    done = []
    for entry in choose(entries, policy, now):
        done.append(_would(entry) if dry_run else take_out(entry))
    gone = {result.entry for result in done if result.why is None}
    for entry in entries:
        if entry.staged and entry not in gone:
            done.append(_clear(entry, now, patience, dry_run=dry_run))
        if not dry_run:
            marks.forget_dead(entry.shelf)
    return tuple(done)


def take_out(entry: Entry) -> Pruned:
    """Take one revision out of its store, unless somebody uses or fetches it."""
    shelf = entry.shelf
    with _locked(shelf) as mine:
        if not mine:
            return Pruned(entry, why="somebody is fetching it")
        if found := marks.users(shelf):
            return Pruned(entry, why=_in_use(found))
        with explaining("remove", shelf.path):
            markers = {path: path.read_bytes() for path in (shelf.path / META).glob("*.json")}
            unmark(shelf.path)
            if found := marks.users(shelf):
                for path, text in markers.items():
                    _put_back(path, text)
                return Pruned(entry, why=_in_use(found))
            away = shelf.scratch("prune")
            away.mkdir(parents=True)
            # By one rename: no reader ever finds a part of it.
            shelf.path.rename(away / "model")
            fsync_directory(shelf.path.parent)
        shelf.clear_staging()
    return Pruned(entry, freed=entry.bytes + entry.staged)


def _clear(entry: Entry, now: float, patience: float, *, dry_run: bool) -> Pruned:
    """Remove what dead jobs staged of a revision, unless it may be taken up again."""
    shelf = entry.shelf
    with _locked(shelf) as mine:
        if not mine:
            return Pruned(entry, why="somebody is fetching it", what="staging")
        idle = now - max((_touched(path) for path in shelf.staged()), default=0.0)
        if idle < patience:
            why = f"it was staged {idle:.0f} s ago, and a fetch may take it up again"
            return Pruned(entry, why=why, what="staging")
        if not dry_run:
            shelf.clear_staging()
    return Pruned(entry, freed=entry.staged, what="staging")


def _would(entry: Entry) -> Pruned:
    if entry.users:
        return Pruned(entry, why=_in_use(entry.users))
    return Pruned(entry, freed=entry.bytes + entry.staged)


def _kept(entries: Sequence[Entry], keep: int) -> Iterator[Entry]:
    """The `keep` last used revisions of each model."""
    by_model = sorted(entries, key=lambda entry: (entry.shelf.model, -entry.used))
    for _, revisions in groupby(by_model, key=lambda entry: entry.shelf.model):
        yield from list(revisions)[:keep]


@contextlib.contextmanager
def _locked(shelf: Shelf) -> Iterator[bool]:
    """Hold the lock of a revision, if nobody else does; whether it is held."""
    with explaining("lock", shelf.lock):
        shelf.lock.parent.mkdir(parents=True, exist_ok=True)
        lock, mine = Lock(shelf.lock), True
        try:
            lock.acquire(timeout=0)
        except Timeout:
            mine = False
    try:
        yield mine
    finally:
        if mine:
            lock.release()


def _put_back(marker: Path, text: bytes) -> None:
    scratch = marker.with_name(f".{marker.name}")
    write_synced(scratch, text)
    scratch.replace(marker)
    fsync_directory(marker.parent)


def _touched(directory: Path) -> float:
    """When anything below a directory was last written to."""
    latest = 0.0
    for path in (directory, *directory.rglob("*")):
        with contextlib.suppress(OSError):
            latest = max(latest, path.lstat().st_mtime)
    return latest


def _in_use(found: Sequence[marks.Mark]) -> str:
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"in use by {found[0]}{more}"
