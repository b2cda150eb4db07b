"""The store of models on this host: room, damage, and what dead jobs left there. Changes nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from nodeinit.amounts import size
from nodeinit.cli.doctoring.finding import Finding, bad, ok, warn
from nodeinit.download.catalogue import Entry, catalogue
from nodeinit.download.locks import Lock, Timeout
from nodeinit.download.paths import META
from nodeinit.errors import NodeInitError

_LITTLE = 0.05  # of the disk; Ray itself reports a disk as full from 95 % on
_LEAST = 5_000_000_000  # bytes; a small model of today
_LEASE = 60.0  # seconds without a sign after which the holder of a marker file is dead


def store(root: Path) -> Iterator[Finding]:
    """How the store at `root` is."""
    there = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = "make it writable, or name another store: NODEINIT_STORE=DIR"
        yield bad(f"the store {root} cannot be written to by this user", remedy)
    yield _room(root, there)
    try:
        entries = catalogue(root)
    except NodeInitError as error:
        yield bad(str(error), "make it readable, or name another store: NODEINIT_STORE=DIR")
        return
    taken = sum(entry.bytes for entry in entries)
    models = "1 model" if len(entries) == 1 else f"{len(entries)} models"
    yield ok(f"the store {root} has {models} ({size(taken)})")
    for entry in entries:
        yield from _entry(entry)
    yield from _locks(root)


def _room(root: Path, there: Path) -> Finding:
    usage = shutil.disk_usage(there)
    says = f"disk: {size(usage.free)} of {size(usage.total)} free for {root}"
    if usage.free < _LEAST or usage.free < _LITTLE * usage.total:
        return warn(says, "free some space: `nodeinit cache prune --older-than 30d`")
    return ok(says)


def _entry(entry: Entry) -> Iterator[Finding]:
    name = f"{entry.model_id}, revision {entry.shelf.revision[:12]}"
    if entry.problems:
        listed = ", ".join(str(problem) for problem in entry.problems[:3])
        more = f" and {len(entry.problems) - 3} more" if len(entry.problems) > 3 else ""
        remedy = "`nodeinit cache verify`; the next fetch then brings what is bad again"
        yield bad(f"{name} is damaged: {listed}{more}", remedy)
    if entry.staged and not _held(entry.shelf.lock):
        says = f"{name}: {size(entry.staged)} staged by a job that is no more"
        yield warn(says, "the next fetch goes on from there; or `nodeinit cache prune`")


def _locks(root: Path) -> Iterator[Finding]:
    """Marker files that stand for a lock and that nobody refreshes: the kernel frees the others."""
    for marker in sorted((root / META / "locks").glob("*.marker")):
        try:
            quiet = time.time() - marker.stat().st_mtime
        except OSError:
            continue  # its holder has just given it back
        if quiet > _LEASE:
            says = (
                f"the lock {marker} was left by a holder that died ({quiet:.0f} s without a sign)"
            )
            yield warn(says, f"the next fetch takes it over after {_LEASE:.0f} s; or remove it")


def _held(path: Path) -> bool:
    """Whether somebody fetches under this lock now. Where there is none, nobody does."""
    if not path.exists():
        return False
    lock = Lock(path)
    try:
        lock.acquire(0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
