"""How the caller of a fetch takes part in it: it hears of progress, and it may stop the work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["wait", "fetch", "verify"]
"""Waiting for another process, bringing bytes, or reading back bytes that are already here."""

OnProgress: TypeAlias = Callable[[int, int, str, str], None]
"""Called as `(done_bytes, total_bytes, file, stage)`, by one thread at a time."""

ShouldStop: TypeAlias = Callable[[], bool]
"""Asked between chunks, possibly from several threads; `threading.Event().is_set` is one."""

CHUNK = 8 * 1024 * 1024
"""Bytes that are read at once: large enough to keep a disk busy, small enough to stop soon."""


class Stopped(Exception):
    """The caller asked the work to stop, and it did; nothing of it is left."""


class Watch:
    """Counts bytes and passes them on, at most about 200 times per stage. From any thread."""

    def __init__(
        self, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
    ) -> None:
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._stage: Stage = "fetch"
        self._total = self._done = self._told = 0
        self._lock = threading.Lock()  # also while the caller is told: it hears in order

    @property
    def done(self) -> int:
        """The bytes of this stage that are done."""
        return self._done

    def check(self) -> None:
        """Raise `Stopped` if the caller wants the work to end."""
        if self._should_stop is not None and self._should_stop():
            raise Stopped

    def begin(self, stage: Stage, total: int) -> None:
        """Start counting anew: `total` bytes are ahead."""
        with self._lock:
            self._stage, self._total, self._done, self._told = stage, total, 0, 0
            self._tell("")

    def advance(self, file: str, count: int) -> None:
        """`count` more bytes of `file` are done."""
        self.check()
        with self._lock:
            self._done = max(0, min(self._done + count, self._total))
            unsaid = self._done - self._told
            if unsaid and (unsaid >= max(CHUNK, self._total // 200) or self._done >= self._total):
                self._tell(file)

    def at(self, done: int) -> None:
        """The count as somebody else keeps it: how far the process is that we wait for."""
        self.check()
        with self._lock:
            self._done = min(done, self._total)
            self._tell("")

    def _tell(self, file: str) -> None:
        self._told = self._done
        if self._on_progress is not None:
            self._on_progress(self._done, self._total, file, self._stage)
