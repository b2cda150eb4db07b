"""A file that grows in staging: chunks come in any order, and are hashed in theirs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

from nodeinit.download import work as works
from nodeinit.download.digests import Digester
from nodeinit.download.disk import READ_ONLY
from nodeinit.download.ledger import digest_of_chunk
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.safetensors import SUFFIX, check_header
from nodeinit.download.work import Work

RANGE = 8 * 1024 * 1024
"""Bytes that one request asks for, at most."""


SYNC_EVERY = 32 * 1024 * 1024
"""Bytes after which a growing file is made durable, while others come: at its end nobody would."""


def range_of(total: int, streams: int) -> int:
    """The bytes of a request of so many streams, such that all together ask for a sixteenth at once.

    What is under way when a process dies left the source, and must leave it again.
    """
    return max(1, min(RANGE, total // (16 * streams)))


class Part:
    """One absent file. `target` is where it goes when it is whole; messages name it by that.

    `have` is how many bytes an earlier job left that are still good. Not open until `begin`.
    """

    def __init__(self, file: ManifestFile, work: Work) -> None:
        self.file = file
        self._work = work
        self.target = work.model / file.path
        self._path = work.part(file)
        self._chunk = works.chunk_of(file.size)
        self._descriptor = -1
        self._arrived = threading.Condition()
        with explaining("read", self._path):
            self._ledger = work.ledger(file)

    @property
    def have(self) -> int:
        """Bytes that are here and recorded."""
        return sum(self._length(number) for number in self._ledger.chunks)

    @property
    def allocated(self) -> int:
        """Bytes that the disk has set aside for it already."""
        return self._work.allocated(self.file)

    @property
    def digests(self) -> dict[int, str]:
        """The digests of the chunks that are here, by their number."""
        return dict(self._ledger.chunks)

    def check(self, on_chunk: Callable[[int], None]) -> None:
        """Read back every recorded chunk and forget those that are torn or lost."""
        if not self._ledger.chunks:
            return
        good = {}
        with explaining("read", self._path):
            try:
                self._open()
                for number, digest in self._ledger.chunks.items():
                    if number < self._count and digest_of_chunk(self._read(number)) == digest:
                        good[number] = digest
                    on_chunk(self._length(number))
            finally:
                self._close()
            if good != self._ledger.chunks:
                self._ledger.keep(good)
            self._ledger.close()

    def begin(self) -> None:
        """Be ready for chunks."""
        with explaining("write", self.target):
            self._open()

    def missing(self, at_once: int) -> Iterator[tuple[int, int]]:
        """The ranges (begin, end) to be asked for, in order, each of about `at_once` bytes at most."""
        number = 0
        most = max(1, at_once // self._chunk)
        while number < self._count:
            first = number
            while number < self._count and number not in self._ledger.chunks:
                number += 1
                if number - first == most:
                    break
            if number > first:
                yield first * self._chunk, min(number * self._chunk, self.file.size)
            else:
                number += 1

    def end_of_chunk(self, position: int) -> int:
        """Where the chunk ends that a position is in."""
        return min((position // self._chunk + 1) * self._chunk, self.file.size)

    def put(self, begin: int, data: memoryview) -> None:
        """Write one whole chunk, and then note it. From any thread."""
        digest = digest_of_chunk(data)
        with explaining("write", self.target):
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], begin + written)
            with self._arrived:
                self._ledger.add(begin // self._chunk, digest)
                self._arrived.notify_all()

    def hashed(self, wait: Callable[[threading.Condition | None], None]) -> Digester:
        """Hash the chunks in their order, as they come.

        `wait` waits for more to come where that is needed, and raises if none will.
        """
        digester = Digester(self.file)
        buffer = memoryview(bytearray(self._length(0)))
        unsynced = 0
        for number in range(self._count):
            wait(None)
            with self._arrived:
                while number not in self._ledger.chunks:
                    wait(self._arrived)
            with explaining("read", self.target):
                digester.update(self._read_into(buffer, number))
            unsynced += self._length(number)
            if unsynced >= SYNC_EVERY:
                unsynced = 0
                with explaining("write", self.target):
                    os.fdatasync(self._descriptor)
        return digester

    def header_problem(self) -> str | None:
        """What is wrong with the whole file's inner form, if it has one that is known."""
        if not self.file.path.endswith(SUFFIX):
            return None
        with explaining("read", self.target):
            return check_header(
                self.file.size, lambda begin, count: os.pread(self._descriptor, count, begin)
            )

    def wake(self) -> None:
        """Make whoever waits for a chunk look again."""
        with self._arrived:
            self._arrived.notify_all()

    def again(self) -> dict[int, str]:
        """Ask for everything once more; returns the digests of what came the first time."""
        with self._arrived, explaining("write", self.target):
            before = self.digests
            self._ledger.keep({})
        return before

    def sync(self) -> None:
        """Make the whole file durable and read-only."""
        with explaining("write", self.target):
            os.fchmod(self._descriptor, READ_ONLY)
            os.fsync(self._descriptor)

    def finish(self, sha256: str) -> None:
        """Put the file in its place."""
        with explaining("write", self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._ledger.finish(sha256)
            self._path.rename(self.target)
        self.close()

    def forget(self) -> None:
        """Let nobody find it any more; whoever has it open writes into nothing."""
        with explaining("remove", self._path):
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".ledger").unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files. Nobody may be writing any more."""
        self._close()
        self._ledger.close()

    @property
    def _count(self) -> int:
        return -(-self.file.size // self._chunk)

    def _length(self, number: int) -> int:
        return max(0, min(self._chunk, self.file.size - number * self._chunk))

    def _read(self, number: int) -> bytes:
        return os.pread(self._descriptor, self._length(number), number * self._chunk)

    def _read_into(self, buffer: memoryview, number: int) -> memoryview:
        """A chunk in a buffer that serves for all: what is made anew costs as much as the reading."""
        count = os.preadv(self._descriptor, [buffer], number * self._chunk)
        return buffer[: min(count, self._length(number))]

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._path.chmod(0o644)  # a job may have died between making it read-only and moving it
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o644)
        # Sparse: what is allocated is what has come, for those who wait and watch.
        if os.fstat(self._descriptor).st_size != self.file.size:
            os.ftruncate(self._descriptor, self.file.size)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
