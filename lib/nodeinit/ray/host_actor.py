"""What runs on a host: bring the files, run the host's hooks, answer, and stop when told to.

The class of a Ray actor with a thread for each of its methods: it can be asked while it works.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import ray

from nodeinit.clusters.base import FetchJob
from nodeinit.clusters.host_hooks import run_host_hooks
from nodeinit.context import NodeReport
from nodeinit.download import marks
from nodeinit.download.fetch import FetchResult, Stopped, bring
from nodeinit.download.outlook import check_room, leave_sign, sees_sign, take_sign
from nodeinit.download.speed import Samples
from nodeinit.download.store import Shelf
from nodeinit.download.strategy import Found, Strategy, mirror_of
from nodeinit.download.swarm.member import Member
from nodeinit.download.swarm.session import why_not
from nodeinit.download.swarm.words import Orders, Report
from nodeinit.frozen import FrozenMap
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.ray import withheld
from nodeinit.ray.shipping import Parcel, pack_outcome, portable, unpack
from nodeinit.ray.ways import Way

log = logging.getLogger("nodeinit.ray.host")

_LOOK = 0.1  # seconds between two looks at whether a hook should stop
_LEAVE = 2.0  # seconds for a hook to end when it was cancelled


@attrs.frozen
class How:
    """How far a host is: bytes done and to do, the file, and what is being done with it.

    When `over`, the job has ended, one way or the other, and nothing of it runs any more. `report`
    is for the driver's end of a swarm, if the host takes part in one. `rate` is in bytes per second,
    `left` in seconds.
    """

    done: int = 0
    total: int = 0
    file: str = ""
    stage: str = "start"
    over: bool = False
    report: Report | None = None
    rate: float = 0.0
    left: float | None = None


class HostActor:
    """One fetch on one host."""

    def __init__(self, paths: Sequence[str], keys: Mapping[str, str]) -> None:
        """Make importable what the driver can import, as far as this host has it.

        `keys` are variables that Ray was not told (`withheld`).
        """
        withheld.put(keys)
        sys.path.extend(p for p in paths if p not in sys.path and Path(p).exists())
        self._how = How()
        self._samples = Samples()
        self._stop = threading.Event()
        self._member: Member | None = None
        self._mark: marks.Held | None = None

    def look(self, parcel: Parcel, sign: str) -> bytes:
        """What is here of a job, before anything is fetched: a pickled `Found`, or an error.

        Leaves a `sign` in the store, if one is given, for other hosts to see.
        """
        return self._answered(lambda: self._look(unpack(parcel), sign))

    def sees(self, parcel: Parcel, sign: str) -> bool:
        """Whether the store has the sign of another host."""
        return sees_sign(_root(unpack(parcel)), sign)

    def fetch(self, node_id: str, parcel: Parcel, way: Way | None) -> bytes:
        """Do a job; the answer is a pickled `NodeReport`, an error, or `Stopped`."""
        try:
            return self._answered(lambda: self._fetch(node_id, unpack(parcel), way))
        finally:
            self._how = attrs.evolve(self._how, over=True)

    def progress(self, orders: Orders | None = None) -> How:
        """How far the job is. `orders` are what the driver answers to the last report."""
        member = self._member
        if member is None:
            return self._how
        if orders is not None:
            member.obey(orders)
        return attrs.evolve(self._how, report=member.report())

    def stop(self) -> None:
        """Make the job end soon."""
        self._stop.set()

    def _answered(self, work: Callable[[], Any]) -> bytes:
        try:
            return pack_outcome(work())
        except Stopped as stopped:
            return pack_outcome(stopped)
        except BaseException as error:  # an answer in any case: no wrapping by Ray
            log.warning("%s", error, exc_info=error)
            sent = portable(error)
            if sent is not error or error.__cause__ is not None:
                # What was raised by the user's code stays behind; how it came to it need not.
                sent.add_note("".join(traceback.format_exception(error)))
            return pack_outcome(sent)

    def _look(self, job: FetchJob, sign: str) -> Found:
        lacks = check_room(job.manifest, job.mode, job.path)
        if sign and lacks:
            leave_sign(_root(job), sign)
        mirror = mirror_of(job.manifest.source, os.environ)
        alone = job.team is None or len(job.team.node_ids) == 1
        return Found("", lacks, mirror, bool(sign), "" if alone else why_not())

    def _fetch(self, node_id: str, job: FetchJob, way: Way | None) -> NodeReport:
        began = time.monotonic()
        if way is not None:
            take_sign(_root(job), way.sign)
        if job.user and not job.verify_only:
            # Before it is asked whether the model is complete; held until this process ends.
            self._mark = marks.take(Shelf.at(job.path, job.manifest), job.user)
        with self._taking_part(job, way) as member:
            brought: FetchResult = bring(
                job.manifest,
                job.mode,
                job.path,
                name=job.name,
                relay=member,
                on_progress=self._note,
                should_stop=self._stop.is_set,
                verify_only=job.verify_only,
                keep_when_stopped=job.keep,
                settings=job.ctx.llm_config.nodeinit.download,
            )
            seconds = time.monotonic() - began
            if job.hooks:
                self._how = How(brought.bytes, brought.bytes, stage="hooks")
            custom = asyncio.run(_hooks(job, node_id, self._stop)) if job.hooks else None
            if member is not None:
                self._how = How(brought.bytes, brought.bytes, stage="give")
                for file in job.manifest.select(job.mode):
                    member.finished(file, Path(job.path) / file.path)
                member.linger(self._stop.is_set)
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
            strategy=_said(way, member),
            seconds=round(seconds, 3),
        )

    @contextlib.contextmanager
    def _taking_part(self, job: FetchJob, way: Way | None) -> Iterator[Member | None]:
        """Take part in the swarm, if that is the way."""
        if way is None or not way.is_swarm:
            yield None
            return
        self._member = member = Member(
            Shelf.at(job.path, job.manifest).relay_scratch(job.name),
            job.manifest.select(job.mode),
            token=way.token,
            address=ray.util.get_node_ip_address(),
            stall=job.ctx.llm_config.nodeinit.download.stall,
        )
        try:
            yield member
        finally:
            member.close()

    def _note(self, done: int, total: int, file: str, stage: str) -> None:
        self._samples.add(time.monotonic(), done, stage)
        speed = self._samples.speed(total)
        self._how = How(done, total, file, stage, rate=speed.rate, left=speed.left)
        if self._member is not None:
            self._member.note(done)


def _root(job: FetchJob) -> Path:
    return Shelf.at(job.path, job.manifest).root


def _said(way: Way | None, member: Member | None) -> str:
    """How the files came, in words."""
    if way is None:
        return ""
    if member is not None and member.alone:
        return f"{Strategy.DIRECT}: {member.alone}"
    return str(way.choice)


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
