"""What a fetch reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest, ManifestFile, total_size


@attrs.frozen
class FetchResult:
    """What is at `path` now.

    `files` and `bytes` count what the mode covers, `fetched` how many of these bytes came from the
    source (0 on a warm start), and `verified` says that each file's size and checksum are those of
    the manifest of `revision`, or were recorded when the file first came if it gives none. `digest`
    (hex) covers the path, size and sha256 of each file: hosts with the same one hold the same bytes.
    """

    path: str
    mode: NodeModelDownloadable
    revision: str
    files: int
    bytes: int
    fetched: int
    verified: bool
    digest: str = ""

    def with_extra(self, extra: FetchResult) -> FetchResult:
        """The same, with what was brought beside the model counted in."""
        both = hashlib.sha256(f"{self.digest} {extra.digest}".encode()).hexdigest()
        return attrs.evolve(
            self,
            files=self.files + extra.files,
            bytes=self.bytes + extra.bytes,
            fetched=self.fetched + extra.fetched,
            digest=both,
        )


def result_of(
    manifest: Manifest,
    mode: NodeModelDownloadable,
    path: str | Path,
    digests: Mapping[str, str],
    *,
    fetched: int,
) -> FetchResult:
    """The result for a mode's files, whose sha256 are `digests` by path."""
    files = manifest.select(mode)
    return FetchResult(
        path=str(path),
        mode=mode,
        revision=manifest.revision,
        files=len(files),
        bytes=total_size(files),
        fetched=fetched,
        verified=True,
        digest=_digest(files, digests),
    )


def _digest(files: Sequence[ManifestFile], digests: Mapping[str, str]) -> str:
    held = [[file.path, file.size, digests.get(file.path, file.sha256)] for file in files]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()
