"""Brings files by ranges, several at once, each hashed in order by a thread of its own.

What limits what: `concurrency` threads read, each holds one chunk; a file is hashed behind them,
from the page cache; the caller's thread does nothing but look whether the work should stop or has
stalled, so that it can say so while every other thread is stuck.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from nodeinit.config.parts import DownloadSettings
from nodeinit.download import parts as parts_module
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.parts import Part
from nodeinit.download.streams import (
    TRIES,
    GivenUpError,
    Line,
    Stream,
    Task,
    changed,
    read_range,
)
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError

logger = logging.getLogger(__name__)

_TICK = 0.1  # seconds between two looks at whether to stop
_GRACE = 1.0  # seconds for threads to end that were told to

OnFinished = Callable[[ManifestFile, Path], None]
"""Told of each file that is whole, verified and durable at a path; by one thread at a time."""


class Transfer:
    """One go at bringing the parts of some files, by requests of `at_once` bytes at most."""

    def __init__(
        self,
        line: Line,
        parts: Sequence[Part],
        settings: DownloadSettings,
        finished: OnFinished,
        at_once: int | None = None,
    ) -> None:
        self._line = line
        self._settings = settings
        self._finished = finished
        self._changed = threading.Condition()
        self._telling = threading.Lock()
        self._ahead = deque(parts)
        self._tasks: deque[Task] = deque()
        self._streams: dict[Stream, threading.Thread] = {}
        self._threads: list[threading.Thread] = []
        self._open: list[Part] = []
        self._left = len(parts)
        self._at_once = at_once or parts_module.RANGE
        requests = sum(-(-part.file.size // self._at_once) for part in parts)
        self._most = min(settings.concurrency, requests)
        self._digests: dict[str, str] = {}
        self._error: BaseException | None = None

    def run(self) -> dict[str, str]:
        """Bring them all; the sha256 of each by path. Raises the first failure, or `Stopped`."""
        try:
            for _ in range(max(1, self._most)):
                self._start_stream()
            while not self._is_over():
                self._line.watch.check()
                self._find_stalled()
            return self._digests
        finally:
            self._end()

    def _is_over(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._error or not self._left, _TICK)
            if self._error is not None:
                raise self._error
            return not self._left

    def _start_stream(self) -> None:
        stream = Stream()
        self._streams[stream] = self._start(lambda: self._stream(stream))

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
        # Threads are started from several: one that another has not begun yet is not dead.
        with self._changed:
            thread.start()
            self._threads = [*(old for old in self._threads if old.is_alive()), thread]
        return thread

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except GivenUpError:
            pass
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    # In the threads that read.

    def _stream(self, stream: Stream) -> None:
        while (task := self._next(stream)) is not None:
            read_range(self._line, stream, task)
            self._line.leave(stream)
            stream.task = None

    def _next(self, stream: Stream) -> Task | None:
        with self._changed:
            while self._left:
                if self._line.closed.is_set():
                    raise GivenUpError
                while not self._tasks and self._ahead and len(self._open) < 2 * self._most + 1:
                    self._begin(self._ahead.popleft())
                if self._tasks:
                    stream.task = self._tasks.popleft()
                    return stream.task
                self._changed.wait(1)
            return None

    def _begin(self, part: Part) -> None:
        part.begin()
        self._open.append(part)
        self._tasks.extend(Task(part, begin, end) for begin, end in part.missing(self._at_once))
        self._start(lambda: self._settle(part))

    # In the thread of one file.

    def _settle(self, part: Part) -> None:
        whole = False
        try:
            sha256 = self._verified(part)
            part.sync()
            with self._line.writing():
                part.finish(sha256)
            whole = True
        finally:
            # Nobody may close a file that somebody else is writing to: the number is soon another's.
            if not whole and self._line.close(60):
                part.close()
        with self._telling:
            self._finished(part.file, part.target)
        with self._changed:
            self._digests[part.file.path] = sha256
            self._open.remove(part)
            self._left -= 1
            self._changed.notify_all()

    def _verified(self, part: Part) -> str:
        """The sha256 of a file whose bytes are right. Wrong ones are asked for once more."""
        digester = part.hashed(self._wait)
        problem = digester.problem()
        if problem is None:
            if not (unsafe := part.header_problem()):
                return digester.sha256
            if digester.can_tell:
                raise _unsafe(self._line.named(part.file), unsafe)
        return self._second_look(part, problem or f"is no safetensors file: {unsafe}")

    def _second_look(self, part: Part, problem: str) -> str:
        where = self._line.named(part.file)
        logger.warning("%s %s; it is read again", where, problem)
        before = part.again()
        with self._changed:
            ranges = part.missing(self._at_once)
            self._tasks.extend(Task(part, begin, end, again=True) for begin, end in ranges)
            self._changed.notify_all()
        digester = part.hashed(self._wait)
        still: str | None = digester.problem()
        unsafe = None if still else part.header_problem()
        if not still and not unsafe:
            return digester.sha256
        same = part.digests == before
        part.forget()
        if not same:
            raise TemporaryError(f"corrupted: {where} arrived damaged, twice: it {still or unsafe}")
        raise changed(where, still) if still else _unsafe(where, unsafe or "")

    def _wait(self, condition: threading.Condition | None) -> None:
        if self._line.closed.is_set():
            raise GivenUpError
        if condition is not None:
            condition.wait(0.5)

    # In the caller's thread.

    def _find_stalled(self) -> None:
        patience, now = self._settings.stall, time.monotonic()
        silent_since = self._line.is_silent_since
        busy = [(stream, stream.busy_since) for stream in list(self._streams)]
        for stream, since in busy:
            if since is None or now - since <= patience or stream.task is None:
                continue
            task = stream.task
            error = TemporaryError(
                f"stalled: {self._line.named(task.part.file)}: no byte for {patience:g} s"
            )
            if silent_since is not None and now - silent_since > patience:
                raise error
            if not self._line.give_up(stream, since):
                continue
            with self._changed:  # nobody waits for it any more
                self._threads.remove(self._streams.pop(stream))
            if task.tries + 1 >= TRIES:
                raise error
            logger.warning("%s; it is asked for again", error)
            with self._changed:
                rest = Task(task.part, task.position, task.end, task.tries + 1, task.again)
                self._tasks.appendleft(rest)
                self._changed.notify_all()
            self._start_stream()

    def _end(self) -> None:
        nobody_writes = self._line.close(_GRACE)
        with self._changed:
            self._changed.notify_all()
            unfinished = list(self._open)
        for part in unfinished:
            part.wake()
            if not nobody_writes:
                part.forget()  # what is still being written must not be taken for what was
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _unsafe(where: str, problem: str) -> NodeInitError:
    return PermanentError(
        f"unsafe_format: {where} is not a file in safetensors format: {problem}; "
        "repair it at its source"
    )
