"""The world outside a hook while it runs: clocks, sleep, chance, the network, other programs.

All of it is patched by name for the length of a check, and answers differently only inside a step of
a hook, on the thread of the check: everybody else gets what is real.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from nodeinit.testing.virtual_time import VirtualLoop

LINES = 1_000_000
"""So many lines of its file may a hook run without giving the loop a turn."""
ELSEWHERE = 20
"""So many times more may it run in other files: `import vllm` alone is 13 million lines."""

_EPOCH = 1_700_000_000.0  # what `time.time()` says when a run begins
_LATER = 12_345_678 + 1_234_567 / 2**22  # as exact as the epoch: differences of times are the same
_Usage = namedtuple("_Usage", "total used free")
_INSIDE = contextvars.ContextVar("_INSIDE", default=False)  # of a hook, and of its tasks
_DISK = _Usage(1_000_000_000_000, 500_000_000_000, 500_000_000_000)


class _Kind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime.datetime)


class _Datetime(datetime.datetime, metaclass=_Kind):
    """`datetime` by the clock that hooks see; its values are those of the real one."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        """The moment, as `time.time()` has it."""
        return datetime.datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        """The moment in UTC, without saying so."""
        return datetime.datetime.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


_DATETIME = ModuleType("datetime")
_DATETIME.__dict__.update(vars(datetime), datetime=_Datetime)


class TooManyLines(BaseException):
    """A hook ran on without an end. Not an `Exception`: no hook is to handle it."""


class Step(NamedTuple):
    """A step of a hook that is being run: how it blocks, and of whose code the last line counts.

    The clocks of the hook are `late` seconds behind those of the loop.
    """

    asynchronous: bool
    blocked: Callable[[str], None]
    code: Any
    seen: Callable[[int], None]
    late: float = 0.0


class Outside:
    """What hooks meet outside of them, during one check. One at a time in a process."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.step: Step | None = None
        self.lines = LINES
        self._thread = threading.get_ident()
        self.tasks: list[asyncio.Task[Any]] = []
        """The tasks that hooks began in this run, and those that these began."""
        self.used: set[str] = set()
        """What hooks used in this check that nobody watches: threads, programs, sockets."""
        loop.off_loop = self._in_thread
        loop.set_task_factory(self._task)
        self._chance = random.Random()
        self._epoch = _EPOCH

    def reset(self, seed: int, *, later: bool = False) -> None:
        """Begin a run: the clock at 0, and chance from a seed; `later`, on another day."""
        self.loop.reset()
        self.tasks.clear()
        self._epoch = _EPOCH + _LATER if later else _EPOCH
        random.seed(seed)
        self._chance.seed(seed)

    def run(self, step: Step, function: Callable[[], Any]) -> Any:
        """Run a step of a hook, counting its lines. `TooManyLines` ends one without an end."""
        before, self.step = self.step, step
        inside = _INSIDE.set(True)
        tracer = sys.gettrace()
        if tracer is None:  # a debugger or a measurement of coverage goes first
            sys.settrace(_counting(step, self.lines))
        try:
            return function() if step.asynchronous else self._without_a_loop(function)
        finally:
            if tracer is None:
                sys.settrace(None)
            self.step = before
            _INSIDE.reset(inside)

    @contextlib.contextmanager
    def patched(self, modules: Sequence[ModuleType] = ()) -> Iterator[None]:
        """Put ourselves between hooks and the world, also where `modules` imported it by name."""
        state = random.getstate()
        here = self._here
        with contextlib.ExitStack() as stack:

            def put(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
                real = getattr(owner, name)
                fake = make(real)
                setattr(owner, name, fake)
                stack.callback(setattr, owner, name, real)
                rename(real, fake)

            def rename(real: Any, fake: Any) -> None:
                for module in modules:
                    for bound, value in list(vars(module).items()):
                        if value is real:
                            setattr(module, bound, fake)
                            stack.callback(setattr, module, bound, real)

            def clock(
                time: Callable[[], float], scale: float, kind: type = float
            ) -> Callable[[Any], Any]:
                return lambda real: lambda: kind(time() * scale) if here() else real()

            for name in ("monotonic", "perf_counter"):
                put(time, name, clock(self._time, 1))
                put(time, f"{name}_ns", clock(self._time, 1e9, int))
            put(time, "time", clock(self._date, 1))
            put(time, "time_ns", clock(self._date, 1e9, int))
            put(time, "sleep", lambda real: lambda s: self._sleep(s) if here() else real(s))
            rename(datetime.datetime, _Datetime)
            rename(datetime, _DATETIME)
            put(asyncio.events, "new_event_loop", lambda real: lambda: self._new_loop(real))
            put(os, "urandom", self._bytes_or)
            put(random, "_urandom", self._bytes_or)
            put(shutil, "disk_usage", lambda real: lambda p: self._disk(real, p))
            put(socket.socket, "connect", self._noticing("socket.connect"))
            put(subprocess.Popen, "__init__", self._noticing("subprocess.Popen"))
            put(os, "system", self._noticing("os.system"))
            put(threading.Thread, "start", self._noticing("threading.Thread", waits=False))
            try:
                yield
            finally:
                random.setstate(state)

    def _in_thread(self, function: Callable[[], Any]) -> Any:
        """What a hook hands to a thread may block as it likes."""
        before = self.step
        self.step = before._replace(asynchronous=False) if before is not None else None
        try:
            return self._without_a_loop(function)
        finally:
            self.step = before

    def _without_a_loop(self, function: Callable[[], Any]) -> Any:
        """In a thread there is no running loop; one of its own has the same clock."""
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        began, advanced = self.loop.time(), self.loop.advanced
        try:
            return function()
        finally:
            asyncio._set_running_loop(running)
            self.loop.advanced = advanced + self.loop.time() - began

    def _new_loop(self, real: Callable[[], Any]) -> Any:
        if not self._here():
            return real()
        loop = VirtualLoop()
        loop._selector = self.loop._selector
        return loop

    def _task(self, loop: Any, work: Any, **context: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **context)
        if _INSIDE.get():
            self.tasks.append(task)
        return task

    def _here(self) -> bool:
        return self.step is not None and threading.get_ident() == self._thread

    def _time(self) -> float:
        return self.loop.time() - (self.step.late if self.step is not None else 0.0)

    def _date(self) -> float:
        return self._epoch + self._time()

    def _sleep(self, seconds: float) -> None:
        if self.step is not None and self.step.asynchronous:
            self.step.blocked(f"time.sleep({seconds:g})")
        self.loop.advance(seconds)

    def _bytes_or(self, real: Callable[[int], bytes]) -> Callable[[int], bytes]:
        return lambda n: self._chance.randbytes(n) if self._here() else real(n)

    def _disk(self, real: Callable[[Any], Any], path: Any) -> Any:
        found = real(path)  # which complains about a path that is not there
        return _DISK if self._here() else found

    def _noticing(
        self, label: str, *, waits: bool = True
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                if self._here():
                    self.used.add(label)
                # A socket that does not wait (asyncio's own) blocks nobody.
                patient = label == "socket.connect" and args[0].gettimeout() == 0
                blocks = waits and not patient
                if self.step is not None and self._here() and self.step.asynchronous and blocks:
                    self.step.blocked(label)
                return real(*args, **kwargs)

            return call

        return wrap


def _counting(step: Step, lines: int) -> Callable[..., Any]:
    """A trace function that counts lines, and remembers where the hook's own code was last.

    Lines of the hook's file count most: what spins is seldom in a library, while an import or a
    search in one runs millions. A loop on one line has no lines to count: in that file
    instructions count too, four for a line.
    """
    left = lines * ELSEWHERE
    instruction, line = ELSEWHERE // 4, ELSEWHERE
    code, seen = step.code, step.seen
    file = getattr(code, "co_filename", None)

    def own(frame: Any, event: str, _argument: Any) -> Any:
        nonlocal left
        if event == "opcode":
            left -= instruction
        else:
            left -= line
            if frame.f_code is code:
                seen(frame.f_lineno)
        if left <= 0:
            raise TooManyLines
        return own

    def others(_frame: Any, _event: str, _argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left <= 0:
            raise TooManyLines
        return others

    def entered(frame: Any, _event: str, _argument: Any) -> Any:
        mine = frame.f_code.co_filename == file
        frame.f_trace_opcodes = mine
        return own if mine else others

    return entered
