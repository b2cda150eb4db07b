"""The directory of one job in a store's staging, and what a job finds there that another left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import attrs

from nodeinit.download.disk import remove
from nodeinit.download.ledger import Ledger
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.oserrors import explaining

CHUNK = 1024 * 1024
"""Bytes that a ledger has one line for. What a kill can lose is one of them per stream."""

_SMALL = 64 * CHUNK  # of what is smaller than this, a chunk is too large a part
_SMALL_CHUNK = CHUNK // 4


def chunk_of(size: int) -> int:
    """The bytes of a chunk of a file of so many bytes: it depends on nothing else, so that whoever
    takes over a part can read its ledger.
    """
    return CHUNK if size >= _SMALL else min(CHUNK, _SMALL_CHUNK)


@attrs.frozen
class Work:
    """A tree of whole files that grows, the parts of others, and what the tree will replace."""

    directory: Path

    @property
    def model(self) -> Path:
        """The whole files, at their paths below: verified, durable and read-only."""
        return self.directory / "model"

    @property
    def brought(self) -> Path:
        """Where a source or another host puts files by itself, for us to verify."""
        return self.directory / "brought"

    @property
    def damaged(self) -> Path:
        """Where a damaged model is moved to."""
        return self.directory / "damaged"

    @property
    def marker(self) -> Path:
        """Where a marker is written before it is renamed."""
        return self.directory / "marker"

    def part(self, file: ManifestFile) -> Path:
        """The bytes of a file that is not whole yet."""
        name = hashlib.sha256(file.path.encode()).hexdigest()[:32]
        return self.directory / "parts" / name

    def allocated(self, file: ManifestFile) -> int:
        """Bytes that the disk has set aside for the part of a file."""
        try:
            return min(file.size, self.part(file).stat().st_blocks * 512)
        except FileNotFoundError:
            return 0

    def ledger(self, file: ManifestFile) -> Ledger:
        """What is known of a file's chunks, and of its sha256 when it became whole."""
        return Ledger(self.part(file).with_suffix(".ledger"), file, chunk_of(file.size))

    def take_over(self, file: ManifestFile, others: Iterable[Work]) -> None:
        """Move the part of a file here that a job left which is dead."""
        mine = self.part(file)
        for other in others:
            theirs = other.part(file)
            if not theirs.exists():
                continue
            with explaining("take over", theirs):
                mine.parent.mkdir(parents=True, exist_ok=True)
                for suffix in ("", ".ledger"):
                    if theirs.with_suffix(suffix).exists():
                        theirs.with_suffix(suffix).replace(mine.with_suffix(suffix))
            return

    def remember(self, file: ManifestFile, sha256: str) -> None:
        """Note the sha256 of a whole file, for whoever takes over where nobody else knows it."""
        with explaining("write", self.directory):
            ledger = self.ledger(file)
            ledger.finish(sha256)
            ledger.close()

    def take_over_brought(self, others: Iterable[Work]) -> None:
        """Move here what was being brought to a job that is dead."""
        for other in others:
            with explaining("take over", other.brought):
                if other.brought.exists():
                    other.brought.replace(self.brought)
                    return

    def clear_brought(self) -> None:
        """Remove what was brought and not taken."""
        with explaining("remove", self.brought):
            remove(self.brought)


def staged_sha256(file: ManifestFile, works: Iterable[Work]) -> str:
    """The sha256 that a file had when a job found it right; empty if no job did."""
    for work in works:
        with explaining("read", work.directory):
            if whole := work.ledger(file).whole:
                return whole
    return ""
