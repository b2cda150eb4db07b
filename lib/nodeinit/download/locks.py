"""A lock between processes, of one host or of all that share a file system.

The kernel frees it when its holder dies. Where a file system knows no `flock` (some network file
systems say so only when asked), a marker file stands for the lock: its holder refreshes it, and a
peer takes it over that saw it unchanged for a minute.
"""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import filelock
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

__all__ = ["Lock", "Timeout"]

logger = logging.getLogger(__name__)

_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_LEASE = 60.0  # seconds without a sign after which a holder is taken for dead


class Lock:
    """The lock at a path. Keep it over several tries: a dead holder is known by watching it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: BaseFileLock = _native(path)
        self._soft = False

    def acquire(self, timeout: float) -> None:
        """Take the lock within `timeout` seconds. Raises `Timeout`, and other `OSError`s."""
        try:
            self._lock.acquire(timeout=timeout)
        except Timeout:
            raise
        except (OSError, NotImplementedError) as error:
            if self._soft or getattr(error, "errno", errno.ENOSYS) not in _NO_FLOCK:
                raise
            logger.warning("%s: no flock there; a marker file is used", self._path)
            self._soft = True
            self._lock = _marker(self._path.with_name(f"{self._path.name}.marker"))
            self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


def _native(path: Path) -> BaseFileLock:
    try:
        # Its own marker file would not be taken over from a holder that died on another host.
        return FileLock(path, fallback_to_soft=False)
    except TypeError:  # a version that has no such thing
        return FileLock(path)


def _marker(path: Path) -> BaseFileLock:
    lease = getattr(filelock, "SoftFileLease", None)  # not in the oldest versions that we allow
    if lease is None:
        return SoftFileLock(path)
    made: BaseFileLock = lease(path, lease_duration=_LEASE)
    return made
