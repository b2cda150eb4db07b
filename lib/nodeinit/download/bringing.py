"""Lets a source bring whole files by its own library, and believes nothing of what it brought.

The library runs in a thread of its own: the caller's only watches, so that it can say that the work
should stop or has stalled when that thread is stuck.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.copying import take
from nodeinit.download.digests import side_by_side
from nodeinit.download.disk import bytes_below
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.ranges import OnFinished
from nodeinit.download.sources import Bringer, shown
from nodeinit.download.store import ReadBack
from nodeinit.download.streams import changed
from nodeinit.download.watch import Watch
from nodeinit.download.work import Work
from nodeinit.errors import TemporaryError

logger = logging.getLogger(__name__)

_TICK = 0.1  # seconds between two looks at whether to stop
_LOOK = 2.0  # seconds between two looks at how much there is on the disk
_ITSELF = 2.0  # how much longer than `stall` a library may try to help itself
_GRACE = 10.0  # seconds for a source to stop, with all that it started


def taken_up(files: Sequence[ManifestFile], work: Work, watch: Watch) -> dict[str, str]:
    """The sha256 of those files that an earlier job had brought whole, by path."""
    if not work.brought.exists():
        return {}

    def look(file: ManifestFile) -> ReadBack:
        return take(file, work, watch, trusting=False)

    found = zip(files, side_by_side(look, files), strict=True)
    return {file.path: answer.sha256 for file, answer in found if not answer.problem}


def let_bring(
    bringer: Bringer,
    manifest: Manifest,
    files: Sequence[ManifestFile],
    work: Work,
    settings: DownloadSettings,
    watch: Watch,
    finished: OnFinished,
) -> dict[str, str]:
    """The sha256 of the files, which are all in their places then, by path.

    A file that is wrong is asked for once more. Raises `PermanentError` (`changed: …`) when it is
    wrong in the same way, `TemporaryError` (`corrupted: …`) when it is in another.
    """
    digests: dict[str, str] = {}
    first: dict[str, ReadBack] = {}
    asked = list(files)
    while asked:
        _run(bringer, manifest, asked, work, settings, watch)

        def look(file: ManifestFile) -> ReadBack:
            return take(file, work, watch, trusting=True)

        wrong = []
        for file, answer in zip(asked, side_by_side(look, asked), strict=True):
            if answer.problem is None:
                digests[file.path] = answer.sha256
                finished(file, work.model / file.path)
                continue
            where = f"{file.path} from {shown(manifest.source)}"
            logger.warning("%s %s", where, answer.problem)
            (work.brought / file.path).unlink(missing_ok=True)
            if first.get(file.path) == answer:
                raise changed(where, answer.problem)
            if file.path in first:
                raise TemporaryError(f"corrupted: {where} arrived damaged: it {answer.problem}")
            first[file.path] = answer
            wrong.append(file)
        asked = wrong
    work.clear_brought()
    return digests


class _Ear(Watch):
    """What a source gets to report to; notes when it was last heard."""

    def __init__(self, outer: Watch, total: int) -> None:
        self.deaf = threading.Event()
        self.heard = time.monotonic()
        self._base = outer.done
        super().__init__(self._pass_on, self.deaf.is_set)
        self._outer = outer
        self.begin("fetch", total)

    def advance(self, file: str, count: int) -> None:
        self.heard = time.monotonic()
        super().advance(file, count)

    def at(self, done: int) -> None:
        self.heard = time.monotonic()
        super().at(done)

    def _pass_on(self, done: int, _total: int, _file: str, _stage: str) -> None:
        if not self.deaf.is_set():
            self._outer.at(self._base + done)


def _run(
    bringer: Bringer,
    manifest: Manifest,
    files: Sequence[ManifestFile],
    work: Work,
    settings: DownloadSettings,
    watch: Watch,
) -> None:
    work.brought.mkdir(parents=True, exist_ok=True)
    ear = _Ear(watch, total_size(files))
    failed: list[BaseException] = []

    def bring() -> None:
        try:
            bringer.bring(manifest.source, files, work.brought, ear)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=bring, daemon=True)
    thread.start()
    try:
        _wait(thread, ear, manifest, work, settings.stall, watch)
    finally:
        ear.deaf.set()
        thread.join(_GRACE)
        if thread.is_alive():
            # It may go on writing there, for ever: let it, where nobody will look.
            logger.warning("%s does not stop bringing files", shown(manifest.source))
            work.clear_brought()
    if failed:
        raise failed[0]


def _wait(
    thread: threading.Thread,
    ear: _Ear,
    manifest: Manifest,
    work: Work,
    stall: float,
    watch: Watch,
) -> None:
    looked, held = time.monotonic(), -1
    while thread.is_alive():
        thread.join(_TICK)
        watch.check()
        now = time.monotonic()
        if now - looked > min(_LOOK, stall / 2):
            looked, before, held = now, held, bytes_below(work.brought)
            if held != before:
                ear.heard = now
        if now - ear.heard > _ITSELF * stall + _LOOK:
            raise TemporaryError(f"stalled: {shown(manifest.source)}: no byte for {stall:g} s")
