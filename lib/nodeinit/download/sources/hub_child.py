"""The process that brings files of a hub, by the hub's own library: `hub_bring` starts it.

It reads a job as JSON and writes JSON lines: `{"moved": n}` now and then while bytes come, and at
the end `{"whole": true}` or `{"error": …}`. It dies with its parent.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from nodeinit.download.oserrors import explained
from nodeinit.download.sources.hub_errors import delay_of, explain
from nodeinit.download.sources.hub_names import HubRef
from nodeinit.errors import NodeInitError, TemporaryError
from nodeinit.redact import redact_text

_PR_SET_PDEATHSIG = 1
_TRIES = 5  # in a row that finish no file
_PATIENCE = 8.0  # seconds that are waited here; the driver waits longer ones, with all hosts
_PIECE = 128 * 1024  # bytes
_TELL = 0.2  # seconds between two signs of life


class Moved:
    """Counts bytes that moved, and tells the parent at most five times a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._told = 0.0

    def add(self, count: float) -> None:
        """Something moved."""
        with self._lock:
            self._count += int(count)
            if time.monotonic() - self._told >= _TELL:
                self._told = time.monotonic()
                say(moved=self._count)


def say(**words: Any) -> None:
    """One line for the parent, in one write."""
    os.write(_ANSWERS, json.dumps(words).encode() + b"\n")


def main() -> None:
    """Do the job on stdin."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    job = json.load(sys.stdin)
    if not job["xet"]:  # the library reads it when it is imported, which comes later
        os.environ["HF_HUB_DISABLE_XET"] = "1"
    if os.getppid() != job["parent"]:  # it died before the kernel knew
        return
    ref = HubRef(job["repo"], job["commit"], job["endpoint"])
    try:
        bring(job, ref)
    except Exception as error:
        ours = _ours(error, ref, job["directory"])
        delay = ours.delay if isinstance(ours, TemporaryError) else None
        say(error=str(ours), temporary=isinstance(ours, TemporaryError), delay=delay)
    else:
        say(whole=True)


def bring(job: dict[str, Any], ref: HubRef) -> None:
    """Bring the files; a try that fails for now is repeated as long as files get finished."""
    moved, missing, failed = Moved(), _missing(job), 0
    while True:
        try:
            bring_all(job, moved)
            if not (left := _missing(job)):
                return
            # The library takes a directory with something in it for an answer when the hub gives
            # none, be it that there is no such model. Of a single file it says what is the matter.
            bring_one(job, left[0])
        except Exception as error:
            ours = _ours(error, ref, job["directory"])
            if not isinstance(ours, TemporaryError) or (ours.delay or 0.0) > _PATIENCE:
                raise
            left = _missing(job)
            failed = 0 if len(left) < len(missing) else failed + 1
            missing = left
            if failed >= _TRIES:
                raise
            wait = min(_PATIENCE, 0.25 * 2**failed) * (0.5 + random.random())
            time.sleep(wait if ours.delay is None else ours.delay + random.random())
            moved.add(0)  # to wait is not to stall


def bring_one(job: dict[str, Any], path: str) -> None:
    """Bring a single file."""
    from huggingface_hub import hf_hub_download

    hf_hub_download(job["repo"], path, **_where(job))
    if path in _missing(job):
        raise TemporaryError(f"unavailable: {job['endpoint']} gave another {path} than it lists")


def bring_all(job: dict[str, Any], moved: Moved) -> None:
    """Bring all files that are missing, several at once."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import get_session
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """Shows nothing; all that the library draws bars of is a sign of life."""

        monitor_interval = 0

        def update(self, n: float | None = 1) -> bool | None:
            moved.add(n or 0)
            return None

        def display(self, *_args: Any, **_kwargs: Any) -> None:
            return None

    moved.add(0)  # to import all this took its time
    # It counts bytes in pieces of 10 MiB: eight files on a slow line would look like none.
    constants.DOWNLOAD_CHUNK_SIZE = _PIECE
    session = get_session()
    session.event_hooks = {**session.event_hooks, "response": [_no_long_waits]}
    snapshot_download(
        job["repo"],
        **_where(job),
        allow_patterns=[glob.escape(path) for path, _ in job["files"]],
        max_workers=job["concurrency"],
        tqdm_class=Bar,
    )


def _where(job: dict[str, Any]) -> dict[str, Any]:
    """What the library is told of every download."""
    return {
        "revision": job["commit"],
        "endpoint": job["endpoint"],
        "token": os.environ.get("HF_TOKEN") or False,
        "local_dir": job["directory"],
        # Not the user's own: what is damaged there would be taken again and again.
        "cache_dir": Path(job["directory"], ".cache", "hub"),
        "library_name": "nodeinit",
    }


def _no_long_waits(response: Any) -> None:
    """The library sleeps as long as a hub says, five times over; our driver waits better."""
    delay = delay_of({key.lower(): value for key, value in response.headers.items()})
    if response.status_code == 429 and (delay or 0.0) > _PATIENCE:
        raise TemporaryError(
            f"rate_limited: {response.url.host} has had too many requests (429), and asks to wait "
            f"{delay:g} s",
            delay=delay,
        )


def _missing(job: dict[str, Any]) -> list[str]:
    """The files that are not there with their size."""
    directory = Path(job["directory"])
    return [path for path, size in job["files"] if _size(directory / path) != size]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _ours(error: Exception, ref: HubRef, directory: str) -> NodeInitError:
    """What to tell the parent of any error."""
    found = explain(error, ref, has_token=bool(os.environ.get("HF_TOKEN")))
    if found is not None:
        return found
    if isinstance(error, OSError) and error.errno is not None:
        return explained(error, "write to", error.filename or directory)
    # Xet's client raises what it likes; whatever it was, another try is cheap.
    said = " ".join(redact_text(str(error)).split())[:300]
    return TemporaryError(f"unavailable: {ref} from {ref.endpoint}: {type(error).__name__}: {said}")


if __name__ == "__main__":
    _ANSWERS = os.dup(1)
    os.dup2(2, 1)  # whatever else prints must not garble the answers
    main()
