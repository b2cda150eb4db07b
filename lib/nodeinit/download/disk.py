"""Small steps on a file system, each durable when it returns. Errors are `OSError`."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

READ_ONLY = 0o444
"""The permissions of a published file: an engine may have it mapped, nobody may write to it."""


def fsync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_directories(top: Path) -> None:
    """`fsync_directory` for `top` and everything below it, deepest first."""
    for directory, _, _ in os.walk(top, topdown=False):
        fsync_directory(Path(directory))


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and make its bytes durable."""
    path.write_bytes(data)
    fsync_file(path)


def remove(directory: Path) -> None:
    """Remove a directory with all that is in it, also when others are removing it too."""
    while directory.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)


def bytes_below(directory: Path) -> int:
    """The bytes of all files below a directory that others may be changing, holes left aside."""
    return sum(_sizes(directory))


def _sizes(directory: Path) -> Iterator[int]:
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                seen = (Path(folder) / name).stat()
                yield min(seen.st_size, seen.st_blocks * 512)
            except FileNotFoundError:
                continue
