"""Runs `hub_child` for a host that needs files of a hub: watched, and killed when it must end.

The library's threads cannot be stopped, and its Xet client may hold gigabytes and has been seen to
hang; in a process of its own all of that ends with a signal, and dies with us in any case.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs

from nodeinit.download.disk import bytes_below
from nodeinit.download.oserrors import explaining
from nodeinit.download.sources.hub_environment import environment_of
from nodeinit.download.watch import Watch
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.redact import redact_text

logger = logging.getLogger(__name__)

NOTES = ".cache"
"""Where the library keeps its notes and half files below the directory that it writes to."""

_LOOK = 0.2  # seconds between two looks at the process
_START = 60.0  # seconds for it to start on a busy host: it says when it has
_TAIL = 4000  # bytes of what a dead process said last


@attrs.frozen
class Job:
    """What the child is to bring; it reads it as JSON. `files` are pairs of path and size."""

    endpoint: str
    repo: str
    commit: str
    files: tuple[tuple[str, int], ...]
    directory: str
    concurrency: int
    xet: bool = True
    parent: int = attrs.field(factory=os.getpid)

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


@attrs.define
class _Count:
    """How far the bytes are, over several tries: it never goes back."""

    job: Job
    watch: Watch
    done: int = 0

    def look(self) -> None:
        """Count what is on the disk: that is the same whatever brings it, and after a retry."""
        directory = Path(self.job.directory)
        whole = sum(size for path, size in self.job.files if _is_whole(directory / path, size))
        done = min(whole + bytes_below(directory / NOTES), self.job.total)
        self.watch.check()
        if done > self.done:
            self.watch.advance("", done - self.done)
            self.done = done


def bring(
    job: Job, token: str | None, environ: Mapping[str, str], stall: float, watch: Watch
) -> None:
    """Do a job; a transfer that stalls is tried once more, without Xet.

    Raises `Stopped`, `PermanentError` and `TemporaryError` with nothing of it running any more.
    Finished files stay for the next try; the library's notes and half files do not.
    """
    count = _Count(job, watch)
    environment = environment_of(job.endpoint, Path(job.directory, NOTES), environ, token)
    try:
        try:
            _run(job, environment, stall, count)
        except _Stalled as stalled:
            logger.warning("%s; trying once more, without Xet", stalled)
            _run(attrs.evolve(job, xet=False), environment, stall, count)
        count.look()
    finally:
        # With them gone the library takes no file for finished that we have found damaged.
        shutil.rmtree(Path(job.directory, NOTES), ignore_errors=True)


class _Stalled(TemporaryError):
    """No byte came for too long."""


def _run(job: Job, environ: Mapping[str, str], stall: float, count: _Count) -> None:
    with tempfile.TemporaryFile() as complaints, _child(environ, complaints) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(attrs.asdict(job)).encode())
        answer = _watched(job, process, stall, count)
        if answer is None:
            raise _died(job, process.wait(), complaints)
    if "error" in answer:
        raise _error(answer)


@contextlib.contextmanager
def _child(environ: Mapping[str, str], complaints: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a session of its own; none of it is left when the block ends."""
    with explaining("start", sys.executable):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nodeinit.download.sources.hub_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=dict(environ),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _watched(
    job: Job, process: subprocess.Popen[bytes], stall: float, count: _Count
) -> dict[str, Any] | None:
    """The child's last word, or `None` if it died without one. Raises `_Stalled` and `Stopped`."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    text, last_sign, on_disk = b"", time.monotonic(), count.done
    patience = max(stall, _START)
    while True:
        if select.select([pipe], [], [], _LOOK)[0]:
            piece = os.read(pipe, 65536)
            if not piece:
                return None
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                said: dict[str, Any] = json.loads(line)
                if "moved" not in said:
                    return said
                last_sign, patience = time.monotonic(), stall
        count.look()
        if count.done != on_disk:  # the library counts some bytes late, or never
            on_disk, last_sign = count.done, time.monotonic()
        if time.monotonic() - last_sign > patience:
            raise _Stalled(
                f"stalled: no byte of {job.repo}@{job.commit} came from {job.endpoint} within "
                f"{patience:g} s"
            )


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _died(job: Job, status: int, complaints: IO[bytes]) -> NodeInitError:
    complaints.seek(0)
    said = redact_text(complaints.read()[-_TAIL:].decode(errors="replace")).strip()
    last = said.splitlines()[-1] if said else "it said nothing"
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    if status == -signal.SIGKILL:
        last = "is this host out of memory?"
    logger.warning("the process that brings %s %s:\n%s", job.repo, how, said)
    return TemporaryError(
        f"unavailable: the process that brings {job.repo} from {job.endpoint} {how}: {last}"
    )


def _error(said: dict[str, Any]) -> NodeInitError:
    if said["temporary"]:
        return TemporaryError(said["error"], delay=said["delay"])
    return PermanentError(said["error"])
