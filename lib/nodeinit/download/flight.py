"""One fetch per host and revision, however many processes and threads ask for it.

The kernel frees the lock when its holder dies. Whoever waited asks again whether there is still
something to do: the lock says nothing about how the holder fared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nodeinit.download.disk import bytes_below
from nodeinit.download.locks import Lock, Timeout
from nodeinit.download.oserrors import explained, explaining
from nodeinit.download.store import Shelf
from nodeinit.download.watch import Watch
from nodeinit.errors import NodeInitError

_POLL = (
    0.2  # seconds between two looks at the holder's progress and at our own caller's wish to stop
)


@contextlib.contextmanager
def single_flight(shelf: Shelf, watch: Watch, total: int) -> Iterator[None]:
    """Hold the lock of a revision. While another holds it, report how many bytes it has staged.

    `total` is what the caller wants to bring. Raises `Stopped` when the caller's wait should end.
    """
    with explaining("create", shelf.lock):
        shelf.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(shelf.lock)
    _acquire(lock, shelf, watch, total)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def held(path: Path, watch: Watch) -> Iterator[None]:
    """Hold the lock at a path, for a short while. Raises `Stopped` when the wait should end."""
    lock = Lock(path)
    with explaining("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            watch.check()
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=_POLL)
                break
    try:
        yield
    finally:
        lock.release()


def sweep(shelf: Shelf) -> None:
    """Remove what dead jobs left of a revision, if anything.

    Does nothing while somebody is at work on the revision, or where nothing can be removed.
    """
    if not shelf.staged():
        return
    lock = Lock(shelf.lock)
    with contextlib.suppress(OSError, NodeInitError):  # Timeout is an OSError
        lock.acquire(timeout=0)
        try:
            shelf.clear_staging()
        finally:
            lock.release()


def _acquire(lock: Lock, shelf: Shelf, watch: Watch, total: int) -> None:
    timeout = 0.0
    while True:
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            if not timeout:
                watch.begin("wait", total)
                timeout = _POLL
            watch.at(sum(map(bytes_below, shelf.staged())))
        except OSError as error:
            raise explained(error, "lock", shelf.lock) from error
        else:
            return
