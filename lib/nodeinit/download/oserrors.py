"""What an `OSError` means for a fetch: whether trying again can help, and what a person can do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from nodeinit.errors import NodeInitError, PermanentError, TemporaryError

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free space or use another model directory",
    errno.EDQUOT: "the disk quota is used up: raise it or use another model directory",
    errno.EFBIG: "the file is larger than the file system or the process's limit allows",
    errno.EACCES: "grant the user that runs Ray access to it",
    errno.EPERM: "grant the user that runs Ray access to it",
    errno.EROFS: "the file system is read-only: use another model directory",
    errno.ENOENT: "it is not there on this host",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.EISDIR: "it is a directory",
    errno.EEXIST: "something else has its name: move it out of the way",
    errno.ENOTEMPTY: "something else has its name: move it out of the way",
    errno.ELOOP: "its symbolic links lead in a circle, or it became one while being read",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.EXDEV: "the store's root must be one file system: do not mount a model's directory apart",
}
"""The errors that will be the same next time, with what to do about each."""

_PASSING = {
    errno.EIO: "the disk or the network file system failed to answer",
    errno.ESTALE: "the network file system lost track of the file",
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "this host has too many files open",
}
"""Errors that may be gone next time, as far as they can be explained better than by their name."""


def explained(error: OSError, action: str, path: str | Path) -> NodeInitError:
    """The error to raise for an `OSError`: it names action, file, cause and remedy."""
    cause = error.strerror or str(error)
    number = error.errno or 0
    if number in _REMEDIES:
        word = "disk_full: " if number in (errno.ENOSPC, errno.EDQUOT) else ""
        return PermanentError(f"{word}cannot {action} {path}: {cause}; {_REMEDIES[number]}")
    remedy = _PASSING.get(number)
    return TemporaryError(f"cannot {action} {path}: {cause}" + (f"; {remedy}" if remedy else ""))


@contextlib.contextmanager
def explaining(action: str, path: str | Path) -> Iterator[None]:
    """Turn every `OSError` of the block into the error that explains it."""
    try:
        yield
    except OSError as error:
        raise explained(error, action, path) from error
