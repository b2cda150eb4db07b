"""A source in memory that does what a test tells it to, and counts what it gives."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator

import attrs

from nodeinit.download.manifest import Manifest, ManifestFile

Trick = Callable[[str, int, bytes], bytes]
"""What becomes of the bytes of a file from an offset on; may raise, and may wait."""


def untouched(_path: str, _offset: int, data: bytes) -> bytes:
    return data


@attrs.define
class Memory:
    """Serves `files`. `asked` are the ranges (path, offset, length) in the order they came."""

    files: dict[str, bytes]
    trick: Trick = untouched
    asked: list[tuple[str, int, int | None]] = attrs.field(factory=list)
    sent: int = 0
    together: int = 0
    most_together: int = 0
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def manifest(self, ref: str, model_id: str, **_: object) -> Manifest:
        files = [
            ManifestFile(path, len(data), hashlib.sha256(data).hexdigest())
            for path, data in self.files.items()
        ]
        return Manifest(model_id, ref, files)

    @contextlib.contextmanager
    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> Iterator[_Reader]:
        with self._lock:
            self.asked.append((file.path, offset, length))
            self.together += 1
            self.most_together = max(self.most_together, self.together)
        try:
            end = file.size if length is None else offset + length
            yield _Reader(self, file.path, offset, end)
        finally:
            with self._lock:
                self.together -= 1

    def count(self, data: bytes) -> bytes:
        with self._lock:
            self.sent += len(data)
        return data


@attrs.define
class _Reader:
    source: Memory
    path: str
    at: int
    end: int

    def read(self, size: int, /) -> bytes:
        data = self.source.files[self.path][self.at : min(self.at + size, self.end)]
        data = self.source.trick(self.path, self.at, data)
        self.at += len(data)
        return self.source.count(data)
