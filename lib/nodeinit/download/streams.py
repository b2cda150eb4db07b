"""One reader of ranges among several, and what all of them share."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator

import attrs

from nodeinit.download import work as works
from nodeinit.download.bucket import Bucket
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.parts import Part
from nodeinit.download.sources import Reader, Source, shown
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError, TemporaryError

PIECE = 256 * 1024
"""Bytes that one read asks for; a line that brings so much within `stall` seconds is not stalled."""

TRIES = 4
"""How often a range is asked for before the fetch fails, to be tried again by its phase."""

PATIENCE = 60.0
"""Seconds that a source may tell us to wait within a fetch; what is longer, the phase waits."""

BACKOFF = 0.5
"""Seconds before the second try, at most; each further one waits up to twice as long."""


class GivenUpError(Exception):
    """Raised in a thread whose work is somebody else's by now, or nobody's."""


@attrs.define(eq=False)
class Task:
    """A range of a file: bytes from `position`, before which all is written, to `end`.

    `again` is set when the bytes were counted before. `held` is how many bytes of the next chunk are
    in the buffer of the stream that reads it.
    """

    part: Part
    position: int
    end: int
    tries: int = 0
    again: bool = False
    held: int = attrs.field(default=0, init=False)


@attrs.define(eq=False)
class Stream:
    """What one thread is doing, as others may know it.

    `busy_since` is when it last turned to the source or heard of it; `None` while it does anything
    else: waits its turn, writes, has nothing to do. A thread that is stuck in a call that does not
    return is left to itself; it is a daemon, and can do no harm once it was given up: `buffer`, which
    it may still write to, is its own.
    """

    task: Task | None = None
    busy_since: float | None = None
    given_up: bool = False
    buffer: memoryview = attrs.field(factory=lambda: memoryview(bytearray(works.CHUNK)), repr=False)


class Line:
    """The line to a source: how much of it may be taken, when it was last heard of, who may write."""

    def __init__(self, source: Source, ref: str, bandwidth: float | None, watch: Watch) -> None:
        self.source = source
        self.ref = ref
        self.watch = watch
        self.closed = threading.Event()
        self.last_heard = time.monotonic()
        self._bucket = Bucket(bandwidth)
        self._changed = threading.Condition()
        self._writing = self._resting = 0
        self._not_before = 0.0

    def named(self, file: ManifestFile) -> str:
        """A file as it is called in messages."""
        return f"{file.path} from {shown(self.ref)}"

    def ask(self, stream: Stream) -> None:
        """A stream turns to the source."""
        with self._changed:
            if stream.given_up or self.closed.is_set():
                raise GivenUpError
            stream.busy_since = time.monotonic()

    def hear(self, stream: Stream) -> None:
        """The source answered a stream."""
        self.ask(stream)
        self.last_heard = time.monotonic()

    def leave(self, stream: Stream) -> None:
        """A stream is done with the source for now."""
        with self._changed:
            if stream.given_up:
                raise GivenUpError
            stream.busy_since = None

    def count(self, stream: Stream, count: int) -> None:
        """Bytes came; wait if they came too early."""
        self._bucket.take(count, lambda seconds: self.rest(stream, seconds))

    def rest(self, stream: Stream, seconds: float) -> None:
        """Let a stream wait, and nobody take it for stalled."""
        with self._changed:
            if stream.given_up:
                raise GivenUpError
            stream.busy_since = None
            self._resting += 1
        try:
            self.closed.wait(max(0.0, seconds))
        finally:
            with self._changed:
                self._resting -= 1
        self.hear(stream)

    def back_off(self, stream: Stream, error: TemporaryError, tries: int) -> None:
        """Wait after an error; when the source said for how long, everybody does."""
        delay = error.delay
        if delay is None:
            self.rest(stream, random.uniform(0.5, 1) * BACKOFF * 2 ** (tries - 1))
            return
        with self._changed:
            self._not_before = max(self._not_before, time.monotonic() + delay)

    def wait_until_allowed(self, stream: Stream) -> None:
        """Wait for as long as the source told anybody to."""
        while (early := self._not_before - time.monotonic()) > 0:
            self.rest(stream, early)

    @property
    def is_silent_since(self) -> float | None:
        """When the line was last heard of, unless somebody rests on purpose."""
        with self._changed:
            return None if self._resting else self.last_heard

    def give_up(self, stream: Stream, since: float) -> bool:
        """Let a stream that is busy `since` then do no more; `False` if it is busy no longer."""
        with self._changed:
            if stream.busy_since != since:
                return False
            stream.given_up = True
            return True

    @contextlib.contextmanager
    def writing(self, stream: Stream | None = None) -> Iterator[None]:
        """A write, by a stream or not; raises `GivenUpError` instead if it must not be."""
        with self._changed:
            if self.closed.is_set() or (stream and stream.given_up):
                raise GivenUpError
            if stream is not None:
                stream.busy_since = None  # a slow disk is no stalled source
            self._writing += 1
        try:
            yield
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Let nobody write any more; answers whether nobody does, `timeout` seconds later."""
        with self._changed:
            self.closed.set()
            return self._changed.wait_for(lambda: not self._writing, timeout)


def read_range(line: Line, stream: Stream, task: Task) -> None:
    """Read a range and write it, chunk by chunk, asking again where that may help.

    Raises what cannot be helped so, and `GivenUpError`.
    """
    ended_at = None
    while task.position < task.end:
        line.wait_until_allowed(stream)
        try:
            _read_on(line, stream, task)
            if task.position == task.end:
                return
            here = task.position + task.held
            if here == ended_at:  # twice at the same place: that is where it ends
                raise changed(
                    line.named(task.part.file), f"has {here} bytes instead of {task.part.file.size}"
                )
            ended_at = here
            raise TemporaryError(f"corrupted: {line.named(task.part.file)} ended too early")
        except TemporaryError as error:
            task.tries += 1
            if task.tries >= TRIES or (error.delay or 0) > PATIENCE:
                raise
            line.back_off(stream, error, task.tries)


def changed(where: str, how: str) -> PermanentError:
    """The error for a source that no longer has what the manifest says."""
    return PermanentError(
        f"changed: {where} is not what it was when the manifest was made: it {how}; start again to "
        "get the new model, and do not write to a model that is being served"
    )


def _read_on(line: Line, stream: Stream, task: Task) -> None:
    """Read from where the last try got to, as far as the source gives."""
    file = task.part.file
    where = line.named(file)
    position = task.position + task.held
    line.ask(stream)
    with (
        explaining("read", where),
        line.source.open(line.ref, file, position, task.end - position) as reader,
    ):
        into = getattr(reader, "readinto", None) or _copying(reader, where)
        while position < task.end:
            chunk_end = task.part.end_of_chunk(task.position)
            want = min(PIECE, chunk_end - position)
            count = into(stream.buffer[task.held : task.held + want])
            line.hear(stream)
            if not count:
                return
            task.held += count
            position += count
            line.count(stream, count)
            if position == chunk_end:
                with line.writing(stream):
                    task.part.put(task.position, stream.buffer[: task.held])
                    task.position = position
                if not task.again:
                    line.watch.advance(file.path, task.held)
                task.held = 0
                line.ask(stream)
        if task.end == file.size and reader.read(1):
            raise changed(where, f"has more than {file.size} bytes")


def _copying(reader: Reader, where: str) -> Callable[[memoryview], int]:
    """`readinto` of a reader that has only `read`."""

    def into(buffer: memoryview) -> int:
        data = reader.read(len(buffer))
        if len(data) > len(buffer):
            raise PermanentError(f"unsupported: {where}: its source gave more than was asked")
        buffer[: len(data)] = data
        return len(data)

    return into
