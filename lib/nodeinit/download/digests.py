"""The sha256 of a file, read in chunks so that the reading can be watched and stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from nodeinit.download.watch import CHUNK


def sha256_of(path: Path, on_chunk: Callable[[int], None]) -> str:
    """The hex sha256 of a file's bytes. `on_chunk` is called with the size of every chunk read.

    Raises the `OSError` of the reading, and whatever `on_chunk` raises.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(CHUNK, max(path.stat().st_size, 1))))
    with path.open("rb", buffering=0) as reader:
        while count := reader.readinto(buffer):
            digest.update(buffer[:count])
            on_chunk(count)
    return digest.hexdigest()
