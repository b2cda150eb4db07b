"""A journal that is being written, read as it grows: each line once, and no half of one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from nodeinit.diagram.run.record import RunRecord
from nodeinit.errors import JournalError
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.replay import Replaying, check_header, is_written, read_line

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition

_CHUNK = 1 << 20


class Follower:
    """Reads a journal again and again. `find` gives the machine of a name: by default the installed one.

    The file need not be there yet, and may be replaced by another one: then it is read anew.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        find: Callable[[str], Definition] = load_machine,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.fspath(path)
        self._find = find
        self._clock = clock
        self._machine: Definition | None = None
        self._began: datetime | None = None
        self._forget(None)

    def _forget(self, identity: tuple[int, int] | None) -> None:
        self._identity = identity
        self._place = 0
        self._line = 0
        self._tail = b""
        self._replaying: Replaying | None = None

    def look(self) -> bool:
        """Read what has come; whether anything has. Raises `JournalError` for what is no journal."""
        try:
            with Path(self.path).open("rb") as file:
                found = os.fstat(file.fileno())
                identity = found.st_dev, found.st_ino
                if identity != self._identity or found.st_size < self._place:
                    self._forget(identity)
                file.seek(self._place)
                news = False
                while data := file.read(_CHUNK):
                    self._place += len(data)
                    news |= self._take(data)
                return news
        except FileNotFoundError:
            return False
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _take(self, data: bytes) -> bool:
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in lines:
            self._line += 1
            record = read_line(self.path, self._line, line)
            if self._replaying is None:
                header = check_header(self.path, record)
                self._machine = self._find(header["machine"])
                self._replaying = Replaying(self.path, header, self._machine)
            else:
                self._replaying.take(self._line, record)
        return bool(lines)

    @property
    def run(self) -> RunRecord | None:
        """The run as it is at this moment; `None` as long as there is nothing to read."""
        if self._replaying is None or self._machine is None:
            return None
        found = RunRecord.of(self._machine, self._replaying.told())
        if found.over:
            return found
        if is_written(self.path):
            began = found.began
            now = self._clock() - began.timestamp() if began is not None else None
            return attrs.evolve(found, now=now)
        # It may have ended between the last look and this one: only then is it truly left.
        if self.look():
            return self.run
        return attrs.evolve(found, torn=bool(self._tail), left=True)
