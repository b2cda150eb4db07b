"""Brings the files of one manifest to its place in a store: see `fetch.bring`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download.flight import single_flight, sweep
from nodeinit.download.manifest import Manifest, total_size
from nodeinit.download.modes import listed
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import check_paths
from nodeinit.download.publish import publish, survey, withdraw
from nodeinit.download.result import FetchResult, result_of
from nodeinit.download.sources import Relay, Source, shown
from nodeinit.download.staging import Staging
from nodeinit.download.store import Shelf, is_complete, on_record, verify
from nodeinit.download.watch import OnProgress, ShouldStop, Stopped, Watch
from nodeinit.download.work import Work
from nodeinit.errors import PermanentError, TemporaryError

logger = logging.getLogger(__name__)


def bring_one(
    manifest: Manifest,
    mode: NodeModelDownloadable,
    path: str | Path,
    *,
    name: str,
    source: Source | None,
    relay: Relay | None,
    on_progress: OnProgress | None,
    should_stop: ShouldStop | None,
    settings: DownloadSettings,
    verify_only: bool,
    rehash: bool,
    keep_when_stopped: bool,
) -> FetchResult:
    """`fetch.bring` for a manifest without its extras."""
    watch = Watch(on_progress, should_stop)
    watch.check()
    check_paths(file.path for file in manifest.files)
    files = manifest.select(mode)
    if not files and mode is not NodeModelDownloadable.NONE:
        raise PermanentError(
            f"{manifest.model_id} in {shown(manifest.source)} has no files for {mode}: "
            f"{listed([file.path for file in manifest.files])}; "
            "use MODEL_AND_TOKENIZER, or NONE if this host needs nothing"
        )
    if verify_only:
        digests = _demand(manifest, mode, Path(path), watch, rehash=rehash)
        return result_of(manifest, mode, path, digests, fetched=0)
    if mode is NodeModelDownloadable.NONE:
        return result_of(manifest, mode, path, {}, fetched=0)
    shelf = Shelf.at(path, manifest)
    # A warm start waits for nobody and writes nothing: the store may be in a read-only image.
    if _is_whole(shelf, manifest, mode, watch, rehash=rehash):
        sweep(shelf)
        return _warm(manifest, mode, shelf, watch)
    with single_flight(shelf, watch, total_size(files)):
        if not rehash and is_complete(shelf.path, manifest, mode):
            shelf.clear_staging()
            return _warm(manifest, mode, shelf, watch)
        job = _Job(manifest, mode, shelf, settings, watch, rehash)
        try:
            fetched, digests = job.bring(name, source, relay)
        except TemporaryError:
            raise
        except BaseException as error:
            if not (keep_when_stopped and isinstance(error, Stopped)):
                shelf.clear_staging()
            raise
        shelf.clear_staging()
    return result_of(manifest, mode, shelf.path, digests, fetched=fetched)


@attrs.frozen
class _Job:
    """What is to be done under the lock of a revision."""

    manifest: Manifest
    mode: NodeModelDownloadable
    shelf: Shelf
    settings: DownloadSettings
    watch: Watch
    rehash: bool

    def bring(
        self, name: str, source: Source | None, relay: Relay | None
    ) -> tuple[int, Mapping[str, str]]:
        """Stage what is missing or damaged, and publish it.

        Returns how many bytes the source gave, and the sha256 of each file by path.
        """
        shelf, files = self.shelf, self.manifest.select(self.mode)
        found = survey(shelf, files, self.watch, rehash=self.rehash)
        if found.damaged:
            logger.warning(
                "%s is damaged, is fetched again: %s", shelf.path, _listed(found.damaged)
            )
            withdraw(shelf)
        work = Work(shelf.scratch(name))
        with explaining("create", shelf.path):
            shelf.path.parent.mkdir(parents=True, exist_ok=True)
            work.model.mkdir(parents=True)
        digests = dict(found.digests)
        staging = Staging(self.manifest, self.mode, shelf, work, self.settings, self.watch, digests)
        fetched = staging.fill(found, source, relay)
        publish(shelf, work, self.manifest, self.mode, found, digests)
        return fetched, digests


def _is_whole(
    shelf: Shelf, manifest: Manifest, mode: NodeModelDownloadable, watch: Watch, *, rehash: bool
) -> bool:
    """Whether there is nothing to do."""
    if not is_complete(shelf.path, manifest, mode):
        return False
    if not rehash:
        return True
    watch.begin("verify", total_size(manifest.select(mode)))
    return not verify(shelf.path, manifest, mode, rehash=True, on_chunk=watch.advance)


def _demand(
    manifest: Manifest, mode: NodeModelDownloadable, path: Path, watch: Watch, *, rehash: bool
) -> Mapping[str, str]:
    """The sha256 of a mode's files at `path`, whoever put them there, by their paths.

    Raises `PermanentError` unless all are there and right.
    """
    if not rehash and is_complete(path, manifest, mode):
        return on_record(path, manifest, mode)
    watch.begin("verify", total_size(manifest.select(mode)))
    problems = verify(path, manifest, mode, rehash=True, on_chunk=watch.advance)
    if problems:
        raise PermanentError(
            f"{path} does not hold {manifest.model_id} at revision {manifest.revision} for {mode}: "
            f"{_listed(problems)}; put the files there or let nodeinit bring them"
        )
    return on_record(path, manifest, mode)


def _warm(
    manifest: Manifest, mode: NodeModelDownloadable, shelf: Shelf, watch: Watch
) -> FetchResult:
    digests = on_record(shelf.path, manifest, mode)
    result = result_of(manifest, mode, shelf.path, digests, fetched=0)
    watch.begin("verify", result.bytes)
    watch.at(result.bytes)
    return result


def _listed(problems: Sequence[object]) -> str:
    shown_first = "; ".join(str(problem) for problem in problems[:5])
    more = len(problems) - 5
    return shown_first + (f"; and {more} more" if more > 0 else "")
