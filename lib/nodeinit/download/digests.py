"""What the bytes of a file are: their sha256, and the checksum by which a source calls them.

Read in chunks, so that the reading can be watched and stopped; several files side by side, because
hashing runs outside of the interpreter lock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from nodeinit.download.crcs import Crc, crc
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.watch import CHUNK

_READERS = 8  # sha256 runs outside of the interpreter lock: one core hashes about 1.7 GB/s

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Digester:
    """Takes the bytes of a file in order and says in the end whether they are the right ones.

    A sha256 is always taken. The source's own checksum (`ManifestFile.digest`) is taken beside it
    where there is no sha256 to compare with and the algorithm is known: `git-sha1` (Git's name of a
    blob), `md5`, `sha1` and what `crcs` can, in hex or base64.
    """

    def __init__(self, file: ManifestFile, sha256: str = "") -> None:
        """`sha256` is what was recorded of a file whose manifest has none."""
        self._expected = file.sha256 or sha256
        self._sha256 = hashlib.sha256()
        kind, _, value = file.digest.partition(":")
        self._kind, self._value = kind, value
        self._other = None if self._expected else _other(kind, file.size)

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def sha256(self) -> str:
        """The hex sha256 of all bytes so far."""
        return self._sha256.hexdigest()

    @property
    def can_tell(self) -> bool:
        """Whether there is anything to compare the bytes with."""
        return bool(self._expected) or self._other is not None

    def problem(self) -> str | None:
        """What is wrong with the bytes, as far as anybody can tell."""
        if self._expected and self.sha256 != self._expected:
            return f"has the sha256 {self.sha256} instead of {self._expected}"
        if self._other is not None and self._other.digest() != _bytes(self._value):
            return f"has the {self._kind} {self._other.hexdigest()} instead of {self._value}"
        return None


def feed(digester: Digester, path: Path, on_chunk: Callable[[int], None]) -> None:
    """Give a digester a file's bytes. `on_chunk` is called with the size of every chunk read.

    Raises the `OSError` of the reading, and whatever `on_chunk` raises.
    """
    buffer = memoryview(bytearray(min(CHUNK, max(path.stat().st_size, 1))))
    with path.open("rb", buffering=0) as reader:
        while count := reader.readinto(buffer):
            digester.update(buffer[:count])
            on_chunk(count)


def sha256_of(path: Path, on_chunk: Callable[[int], None]) -> str:
    """The hex sha256 of a file's bytes; see `feed`."""
    digester = Digester(ManifestFile(path.name, 0))
    feed(digester, path, on_chunk)
    return digester.sha256


def side_by_side(work: Callable[[_Item], _Answer], items: Iterable[_Item]) -> list[_Answer]:
    """The answers of some blocking work for each item, in order, several at once.

    Raises what the first failure raised; what has not begun by then does not begin.
    """
    pool = ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1), "nodeinit-read")
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)


def _other(kind: str, size: int) -> hashlib._Hash | Crc | None:
    match kind:
        case "git-sha1":
            return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        case "sha1":
            return hashlib.sha1(usedforsecurity=False)
        case "md5":
            return hashlib.md5(usedforsecurity=False)
    return crc(kind)


def _bytes(value: str) -> bytes | None:
    """A checksum as bytes, written in hex or in base64; `None` if it is neither."""
    try:
        return bytes.fromhex(value)
    except ValueError:
        pass
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
