"""Whether files fit on a disk, asked before the first byte is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nodeinit.download.manifest import ManifestFile, total_size
from nodeinit.download.oserrors import explaining
from nodeinit.errors import PermanentError

_RESERVE = 16 * 1024 * 1024  # bytes to leave for logs and locks; a model gets 1 % on top
_SPARE_INODES = 64


def check_space(directory: Path, files: Sequence[ManifestFile]) -> None:
    """Raise `PermanentError` unless `files` and a small reserve fit on the disk of `directory`.

    Counts bytes (each file in whole blocks) and inodes, as far as the file system tells them.
    """
    with explaining("ask for the free space of", directory):
        disk = os.statvfs(directory)
    block = disk.f_frsize or 4096
    blocks = sum(-(-file.size // block) for file in files)
    need = blocks * block + _RESERVE + total_size(files) // 100 if files else 0
    free = disk.f_bavail * block
    if need > free:
        raise PermanentError(
            f"the disk of {directory} is too small: {_gib(need)} are needed and {_gib(free)} are "
            f"free; free {_gib(need - free)} more or use another model directory"
        )
    inodes = len(files) + _SPARE_INODES if files else 0
    if disk.f_files and inodes > disk.f_favail:  # f_files is 0 where inodes are not counted
        raise PermanentError(
            f"the disk of {directory} has {disk.f_favail} free inodes and {inodes} are needed; "
            "remove some files or use another model directory"
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:.3f} GiB"
