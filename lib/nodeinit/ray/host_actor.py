"""What runs on a host: bring the files, run the host's hooks, answer, and stop when told to.

The class of a Ray actor with a thread for each of its methods: it can be asked while it works.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

import attrs

from nodeinit.clusters.base import FetchJob
from nodeinit.clusters.host_hooks import run_host_hooks
from nodeinit.context import NodeReport
from nodeinit.download.fetch import FetchResult, Stopped, bring
from nodeinit.frozen import FrozenMap
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.ray.shipping import Parcel, pack_outcome, portable, unpack

log = logging.getLogger("nodeinit.ray.host")

_LOOK = 0.1  # seconds between two looks at whether a hook should stop
_LEAVE = 2.0  # seconds for a hook to end when it was cancelled


@attrs.frozen
class How:
    """How far a host is: bytes done and to do, the file, and what is being done with it.

    When `over`, the job has ended, one way or the other, and nothing of it runs any more.
    """

    done: int = 0
    total: int = 0
    file: str = ""
    stage: str = "start"
    over: bool = False


class HostActor:
    """One fetch on one host."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Make importable what the driver can import, as far as this host has it."""
        sys.path.extend(p for p in paths if p not in sys.path and Path(p).exists())
        self._how = How()
        self._stop = threading.Event()

    def fetch(self, node_id: str, parcel: Parcel) -> bytes:
        """Do a job; the answer is a pickled `NodeReport`, an error, or `Stopped`."""
        try:
            return pack_outcome(self._fetch(node_id, unpack(parcel)))
        except Stopped as stopped:
            return pack_outcome(stopped)
        except BaseException as error:  # an answer in any case: no wrapping by Ray
            log.warning("%s", error, exc_info=error)
            sent = portable(error)
            if sent is not error or error.__cause__ is not None:
                # What was raised by the user's code stays behind; how it came to it need not.
                sent.add_note("".join(traceback.format_exception(error)))
            return pack_outcome(sent)
        finally:
            self._how = attrs.evolve(self._how, over=True)

    def progress(self) -> How:
        """How far the job is."""
        return self._how

    def stop(self) -> None:
        """Make the job end soon."""
        self._stop.set()

    def _fetch(self, node_id: str, job: FetchJob) -> NodeReport:
        brought: FetchResult = bring(
            job.manifest,
            job.mode,
            job.path,
            name=job.name,
            on_progress=self._note,
            should_stop=self._stop.is_set,
            verify_only=job.verify_only,
        )
        if job.hooks:
            self._how = How(brought.bytes, brought.bytes, stage="hooks")
        custom = asyncio.run(_hooks(job, node_id, self._stop)) if job.hooks else None
        return NodeReport(
            node_id=node_id,
            path=brought.path,
            mode=brought.mode,
            revision=brought.revision,
            files=brought.files,
            bytes=brought.bytes,
            fetched=brought.fetched,
            verified=brought.verified,
            custom_data=custom,
            digest=brought.digest,
        )

    def _note(self, done: int, total: int, file: str, stage: str) -> None:
        self._how = How(done, total, file, stage)


# Not a method: one coroutine among them would make Ray run them all in a single event loop.
async def _hooks(job: FetchJob, node_id: str, stop: threading.Event) -> FrozenMap:
    """Run the hooks; the loop is theirs alone, so that one which blocks it blocks nobody else."""
    running = asyncio.ensure_future(
        run_host_hooks(job.hooks, job.ctx, node_id, ThreadExecutor(), job.hook_deadline)
    )
    while not running.done():
        if stop.is_set():
            running.cancel()
            await asyncio.wait({running}, timeout=_LEAVE)
            raise Stopped
        await asyncio.wait({running}, timeout=_LOOK)
    return running.result()
