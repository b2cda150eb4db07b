"""Fills a job's staging with every file that is to be published: from here, from others, from afar.

The caller holds the revision's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download.bringing import let_bring, taken_up
from nodeinit.download.copying import link, reuse
from nodeinit.download.digests import sha256_of, side_by_side
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.oserrors import explaining
from nodeinit.download.parts import Part, range_of
from nodeinit.download.publish import Survey
from nodeinit.download.ranges import OnFinished, Transfer
from nodeinit.download.shards import check_shards
from nodeinit.download.sources import Bringer, Relay, Source, shown, source_for
from nodeinit.download.sources.local import LocalSource
from nodeinit.download.space import check_space
from nodeinit.download.store import Shelf
from nodeinit.download.streams import Line
from nodeinit.download.watch import Watch
from nodeinit.download.work import Work
from nodeinit.errors import PermanentError


@attrs.frozen
class Staging:
    """One job's filling of its staging. `digests` grows: the sha256 of every file, by path."""

    manifest: Manifest
    mode: NodeModelDownloadable
    shelf: Shelf
    work: Work
    settings: DownloadSettings
    watch: Watch
    digests: dict[str, str]

    def fill(self, found: Survey, source: Source | None, relay: Relay | None) -> int:
        """Stage all that `found` does not have; answers how many bytes were brought."""
        files = self.manifest.select(self.mode)
        absent = self._reuse_what_is_here(files, found)
        if not absent:
            return 0
        parts = {file.path: Part(file, self.work) for file in absent}
        self._check(list(parts.values()))
        have = sum(part.have for part in parts.values())
        here = sum(part.allocated for part in parts.values())
        check_space(self.work.model, absent, here=here)
        origin = source or source_for(self.manifest.source, self.settings)
        self._check_offline(origin, absent)
        check_shards(self.manifest, self.mode, origin)
        self.watch.begin("fetch", total_size(absent))
        self.watch.at(have)
        left = list(absent)
        tell: OnFinished = _no_one
        if relay is not None:
            tell = relay.finished
            self._offer(relay, [file for file in files if file not in absent])
            left = self._relayed(relay, absent)
            self.watch.at(total_size(absent) - total_size(left) + _have(left, parts))
        self._fetch(origin, left, parts, tell)
        return total_size(absent) - have

    def _fetch(
        self,
        origin: Source,
        files: Sequence[ManifestFile],
        parts: dict[str, Part],
        tell: OnFinished,
    ) -> None:
        """Bring files from their source, in its way or by ranges."""
        if not files:
            return
        # A library knows no bound, and all that it brings is there at once, at the end: too late for
        # other hosts that wait for the first files.
        alone = tell is _no_one and self.settings.bandwidth is None
        if alone and hasattr(origin, "bring"):
            brought = let_bring(
                cast("Bringer", origin),
                self.manifest,
                files,
                self.work,
                self.settings,
                self.watch,
                tell,
            )
            self.digests.update(brought)
            return
        line = Line(origin, self.manifest.source, self.settings.bandwidth, self.watch)
        wanted = [parts[file.path] for file in files]
        # Who brings for others asks for little at once: what is lost with it, is lost for all.
        total = self.manifest.size
        at_once = None if tell is _no_one else range_of(total, self.settings.concurrency)
        self.digests.update(Transfer(line, wanted, self.settings, tell, at_once).run())

    def _reuse_what_is_here(
        self, files: Sequence[ManifestFile], found: Survey
    ) -> list[ManifestFile]:
        """Take what earlier jobs staged or a damaged model still has.

        Answers what is absent, and ends with nothing in staging but this job's own.
        """
        others = [Work(entry) for entry in self.shelf.staged() if entry != self.work.directory]
        good = set(found.good)
        absent = []
        for file in files:
            target = self.work.model / file.path
            if file in good and not found.damaged:
                continue
            with explaining("stage", target):
                kept = file in good and link(file, self.shelf.path, target)
            if kept:
                continue
            sha256 = reuse(file, others, target, self.watch)
            if sha256 is None:
                absent.append(file)
            else:
                self.digests[file.path] = sha256
                self.work.remember(file, sha256)
        for file in absent:
            self.work.take_over(file, others)
        self.work.take_over_brought(others)
        taken = taken_up(absent, self.work, self.watch)
        self.digests.update(taken)
        self.shelf.clear_staging(keep=self.work.directory)
        return [file for file in absent if file.path not in taken]

    def _check(self, parts: Sequence[Part]) -> None:
        """Read back what earlier jobs left of files."""
        self.watch.begin("verify", sum(part.have for part in parts))
        side_by_side(
            lambda part: part.check(lambda count: self.watch.advance(part.file.path, count)), parts
        )

    def _check_offline(self, origin: Source, absent: Sequence[ManifestFile]) -> None:
        if self.settings.offline and not isinstance(origin, LocalSource):
            raise PermanentError(
                f"unavailable: {shown(self.manifest.source)} is not asked, because the download is "
                f"offline, and this host lacks {absent[0].path} and {len(absent) - 1} more files "
                "of it; bring them to its store, or allow the network"
            )

    def _offer(self, relay: Relay, files: Sequence[ManifestFile]) -> None:
        for file in files:
            staged = self.work.model / file.path
            relay.finished(file, staged if staged.exists() else self.shelf.path / file.path)

    def _relayed(self, relay: Relay, absent: Sequence[ManifestFile]) -> list[ManifestFile]:
        """Take from a relay what it has; answers what is still absent."""
        brought = relay.bring(self.manifest.source, absent, self.work.model, self.watch)
        for file in brought:
            path = self.work.model / file.path
            with explaining("read", path):
                self.digests[file.path] = file.sha256 or sha256_of(
                    path, lambda _: self.watch.check()
                )
            self.work.remember(file, self.digests[file.path])
            relay.finished(file, path)
        return [file for file in absent if file not in brought]


def _have(files: Sequence[ManifestFile], parts: dict[str, Part]) -> int:
    return sum(parts[file.path].have for file in files)


def _no_one(file: ManifestFile, path: object) -> None:
    """Nobody wants to hear of finished files."""
