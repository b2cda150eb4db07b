"""Who uses a model of a store, so that nobody removes it under them.

    ROOT/.nodeinit/marks/org--name@REVISION/ID.json

A mark is a file that its owner keeps locked from before it asks whether the model is complete until
it needs the model no more. However the owner dies, the kernel gives up the lock, and the mark does
not count any longer. Where a lock says nothing (that of another host on a shared file system, or a
file system without locks) a mark counts while its owner renews it, and for `LEASE` after that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import attrs

from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META, safe_name
from nodeinit.download.store import Shelf
from nodeinit.errors import NodeInitError

RENEW = 60.0
"""Seconds between two renewals of a mark."""

LEASE = 600.0
"""Seconds for which a mark counts without renewal, where its lock says nothing."""

logger = logging.getLogger(__name__)


@attrs.frozen
class Mark:
    """A user of a model: `who` for people, its process and host, since when (Unix time, seconds)."""

    who: str
    host: str
    pid: int
    since: float
    boot: str
    locked: bool

    def __str__(self) -> str:
        """The user in a few words: `llm-1 (process 4711 on gpu-1)`."""
        return f"{self.who} (process {self.pid} on {self.host})"


class Held:
    """A mark that this process holds until `release`, or until it dies."""

    def __init__(self, path: Path | None = None, descriptor: int = -1) -> None:
        self._path, self._descriptor = path, descriptor
        self._over = threading.Event()
        if path is not None:
            threading.Thread(target=self._renew, name="nodeinit-mark", daemon=True).start()

    def release(self) -> None:
        """Give the mark back. Safe to repeat."""
        if self._path is None or self._over.is_set():
            return
        self._over.set()
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _renew(self) -> None:
        while not self._over.wait(RENEW):
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)


def take(shelf: Shelf, who: str) -> Held:
    """Mark a revision as used by this process, called `who`; call before asking for the model.

    A store where no mark can be written (a read-only image, a full disk) is used without one: that
    is logged, and no reason to fail.
    """
    folder = _folder(shelf)
    temporary = folder / f".{uuid4().hex}"
    descriptor = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        mark = Mark(who, socket.gethostname(), os.getpid(), time.time(), _boot(), _lock(descriptor))
        os.write(descriptor, json.dumps(attrs.asdict(mark)).encode())
        final = folder / f"{safe_name(who)}-{uuid4().hex[:8]}.json"
        temporary.rename(final)  # the lock goes along: nobody ever sees the mark without it
    except OSError as error:
        logger.info("%s is used without a mark: %s", shelf.path, error)
        if descriptor >= 0:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                temporary.unlink()
        return Held()
    with contextlib.suppress(NodeInitError):
        forget_dead(shelf)
    return Held(final, descriptor)


@contextlib.contextmanager
def using(shelf: Shelf, who: str) -> Iterator[None]:
    """Hold a mark for the length of a block."""
    held = take(shelf, who)
    try:
        yield
    finally:
        held.release()


def users(shelf: Shelf) -> tuple[Mark, ...]:
    """Who uses a revision now, longest first. Raises what explains an `OSError`."""
    found = (mark for path in _files(shelf, "*.json") if (mark := _living(path)) is not None)
    return tuple(sorted(found, key=lambda mark: mark.since))


def last_used(shelf: Shelf) -> float | None:
    """When a revision was last in use, as far as it is known (Unix time, seconds); if ever.

    That is when it was taken or given back, and what an owner that died last renewed.
    """
    times = []
    for path in (_folder(shelf), *_files(shelf, "*.json")):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times, default=None)


def forget_dead(shelf: Shelf) -> None:
    """Remove the marks of a revision whose owners are no more; `last_used` stays as it was."""
    folder, before = _folder(shelf), last_used(shelf)
    with contextlib.suppress(OSError):
        for path in (*_files(shelf, "*.json"), *_files(shelf, ".*")):
            if _living(path) is None and _is_old(path):
                path.unlink()
        if before is not None:
            os.utime(folder, (before, before))


def _living(path: Path) -> Mark | None:
    """The mark in a file, if its owner is there."""
    with explaining("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # given back just now
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(path, descriptor)
            except OSError:
                locks = False
            else:
                locks = True
            mark = _read(path, descriptor)
            if locks and mark.locked and mark.boot == _boot():
                return None
            return mark if time.time() - os.fstat(descriptor).st_mtime < LEASE else None
        finally:
            os.close(descriptor)


def _read(path: Path, descriptor: int) -> Mark:
    """What a mark says; one that cannot be read is somebody's all the same."""
    try:
        return Mark(**json.loads(os.pread(descriptor, 65536, 0)))
    except (ValueError, TypeError):
        return Mark(f"somebody ({path.name} cannot be read)", "unknown", 0, 0.0, "", False)


def _lock(descriptor: int) -> bool:
    """Lock a file that nobody else knows; `False` where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_old(path: Path) -> bool:
    """Whether a file is not just being made."""
    return path.suffix == ".json" or time.time() - path.stat().st_mtime > LEASE


def _boot() -> str:
    """The kernel that runs now: its locks are those that this process sees."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _files(shelf: Shelf, pattern: str) -> list[Path]:
    return sorted(_folder(shelf).glob(pattern))


def _folder(shelf: Shelf) -> Path:
    return shelf.root / META / "marks" / f"{shelf.model}@{shelf.revision}"
