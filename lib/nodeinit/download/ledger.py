"""What is known of a file that is not whole yet: which chunks are there, and what they were.

Kept beside the file in staging, as lines of text. The first says which version of which file it is;
a ledger of another version is no ledger. Every other line was written after the bytes that it
speaks of, so it survives a kill that they survived. After a power failure it may speak of bytes
that are not there: that is why it has a digest of each chunk.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from pathlib import Path

from nodeinit.download.crcs import step_of
from nodeinit.download.manifest import ManifestFile

_CHUNK = re.compile(r"(\d+) ([0-9a-f]{8})")
_WHOLE = re.compile(r"whole ([0-9a-f]{64})")

# The processor's own CRC costs a quarter of the other.
_KIND = "crc32c" if step_of("crc32c") else "crc32"
_STEP = step_of(_KIND) or zlib.crc32


def digest_of_chunk(data: bytes | memoryview) -> str:
    """What tells a chunk from a torn or lost one.

    A CRC, which finds every flipped bit and every torn write but one in 2**32, and costs a fraction
    of a sha256: whether the bytes are the right ones is asked of the whole file, once.
    """
    return f"{_STEP(data, 0):08x}"


class Ledger:
    """The ledger at a path. One thread at a time may write.

    `chunks` are the digests of chunks by their number, `whole` is the sha256 of the file once all
    of it was found right; empty until then. Errors are `OSError`.
    """

    def __init__(self, path: Path, file: ManifestFile, chunk: int) -> None:
        """Read what is there, if it is about this file in chunks of `chunk` bytes."""
        self._path = path
        self._identity = json.dumps(
            [3, _KIND, file.path, file.size, file.version, file.sha256, file.digest, chunk]
        )
        self._descriptor: int | None = None
        self._length = 0
        self.chunks: dict[int, str] = {}
        self.whole = ""
        self._read()

    def add(self, number: int, digest: str) -> None:
        """Note a chunk whose bytes were written."""
        self._append(f"{number} {digest}\n")
        self.chunks[number] = digest

    def finish(self, sha256: str) -> None:
        """Note that the whole file was found right."""
        self._append(f"whole {sha256}\n")
        self.whole = sha256

    def keep(self, chunks: dict[int, str]) -> None:
        """Forget all chunks but some."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._path, 0)
        self._length, self.whole, self.chunks = 0, "", {}
        for number, digest in chunks.items():
            self.add(number, digest)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, line: str) -> None:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o644)
            os.ftruncate(self._descriptor, self._length)  # a torn last line must not grow on
            if not self._length:
                line = f"{self._identity}\n{line}"
        data = line.encode()
        self._length += os.write(self._descriptor, data)

    def _read(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            text = self._path.read_bytes().decode("ascii", "replace")
            whole_lines = text[: text.rfind("\n") + 1]
            identity, *lines = whole_lines.split("\n")
            if identity != self._identity:
                return
            self._length = len(whole_lines)
            for line in lines:
                if chunk := _CHUNK.fullmatch(line):
                    self.chunks[int(chunk[1])] = chunk[2]
                elif whole := _WHOLE.fullmatch(line):
                    self.whole = whole[1]
