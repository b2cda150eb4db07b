"""The ready markers of a published model: what is complete there, and how its files looked then.

`.nodeinit/<MODE>.json` in a published model is written last, after every file that it lists. A file
is vouched for while its size and modification time are still those of a marker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.disk import fsync_directory, write_synced
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.paths import META

_FORMAT = 1


@attrs.frozen
class Vouched:
    """One file as a marker knows it."""

    path: str
    size: int
    sha256: str
    mtime_ns: int


def vouched(directory: Path) -> frozenset[Vouched]:
    """All that the markers of a published model vouch for; one that cannot be read is none."""
    return frozenset(
        entry for mode in NodeModelDownloadable for entry in _read(_marker(directory, mode))
    )


def mark(
    directory: Path,
    manifest: Manifest,
    mode: NodeModelDownloadable,
    files: Iterable[ManifestFile],
    scratch: Path,
) -> None:
    """Write the marker of a mode, atomically by way of the file `scratch` on the same file system.

    The caller has verified `files` and made them durable.
    """
    entries = [
        [file.path, file.size, file.sha256, (directory / file.path).stat().st_mtime_ns]
        for file in files
    ]
    marker = {
        "format": _FORMAT,
        "model_id": manifest.model_id,
        "revision": manifest.revision,
        "mode": str(mode),
        "files": entries,
    }
    final = _marker(directory, mode)
    final.parent.mkdir(exist_ok=True)
    write_synced(scratch, json.dumps(marker, indent=1).encode())
    scratch.replace(final)
    fsync_directory(final.parent)


def unmark(directory: Path) -> None:
    """Withdraw all markers: from now on nobody takes this model for complete."""
    for mode in NodeModelDownloadable:
        _marker(directory, mode).unlink(missing_ok=True)
    fsync_directory(directory / META)


def _marker(directory: Path, mode: NodeModelDownloadable) -> Path:
    return directory / META / f"{mode}.json"


def _read(marker: Path) -> list[Vouched]:
    try:
        raw = json.loads(marker.read_bytes())
        if raw["format"] != _FORMAT:
            return []
        return [
            Vouched(str(path), int(size), str(sha256), int(mtime_ns))
            for path, size, sha256, mtime_ns in raw["files"]
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def stamped(file: ManifestFile, stat: os.stat_result) -> Vouched:
    """What a marker would have to say to vouch for `file` as it looks now."""
    return Vouched(file.path, stat.st_size, file.sha256, stat.st_mtime_ns)
