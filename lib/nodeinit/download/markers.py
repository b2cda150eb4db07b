"""The ready markers of a published model: what is complete there, and how its files looked then.

`.nodeinit/<MODE>.json` in a published model is written last, after every file that it lists. A file
is vouched for while its size and modification time are still those of a marker. Inode and change
time are not asked: they change when another link of the file goes or the store is copied into an
image, and would only add the writers that put the modification time back, whom `verify: full` finds.

A marker also records the sha256 of every file: where the source gave none, this is the one that the
file had when it first came, and from then on the one that it must have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.disk import fsync_directory, write_synced
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.paths import META

_FORMAT = 1


@attrs.frozen
class Vouched:
    """One file as a marker knows it.

    `pin` is what told its version apart where the manifest had no sha256; else it is empty.
    """

    path: str
    size: int
    sha256: str
    mtime_ns: int
    pin: str = ""


Known: TypeAlias = Mapping[str, tuple[Vouched, ...]]
"""What the markers of a published model say of each path."""


def vouched(directory: Path) -> Known:
    """All that the markers of a published model vouch for; one that cannot be read is none."""
    known: dict[str, tuple[Vouched, ...]] = {}
    for mode in NodeModelDownloadable:
        for entry in _read(_marker(directory, mode)):
            known[entry.path] = (*known.get(entry.path, ()), entry)
    return known


def is_vouched_for(file: ManifestFile, seen: os.stat_result, known: Known) -> bool:
    """Whether a marker says that a file which looks like this is the manifest's."""
    size, mtime = seen.st_size, seen.st_mtime_ns
    return any((size, mtime) == (entry.size, entry.mtime_ns) for entry in _about(file, known))


def recorded(file: ManifestFile, known: Known) -> str:
    """The sha256 that a file must have: the manifest's, or what a marker recorded; empty if none."""
    return file.sha256 or next((entry.sha256 for entry in _about(file, known)), "")


def mark(
    directory: Path,
    manifest: Manifest,
    mode: NodeModelDownloadable,
    files: Iterable[ManifestFile],
    digests: Mapping[str, str],
    scratch: Path,
) -> None:
    """Write the marker of a mode, atomically by way of the file `scratch` on the same file system.

    The caller has verified `files` and made them durable; `digests` are their sha256 by path.
    """
    entries = [
        [
            file.path,
            file.size,
            digests[file.path],
            (directory / file.path).stat().st_mtime_ns,
            _pin(file),
        ]
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


def _about(file: ManifestFile, known: Known) -> Iterator[Vouched]:
    """What is known of exactly this version of a file."""
    for entry in known.get(file.path, ()):
        same = entry.sha256 == file.sha256 if file.sha256 else entry.pin == _pin(file)
        if same and entry.size == file.size:
            yield entry


def _pin(file: ManifestFile) -> str:
    return "" if file.sha256 else f"{file.digest} {file.version}"


def _marker(directory: Path, mode: NodeModelDownloadable) -> Path:
    return directory / META / f"{mode}.json"


def _read(marker: Path) -> list[Vouched]:
    try:
        raw = json.loads(marker.read_bytes())
        if raw["format"] != _FORMAT:
            return []
        return [
            Vouched(str(path), int(size), str(sha256), int(mtime_ns), *map(str, pin))
            for path, size, sha256, mtime_ns, *pin in raw["files"]
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return []
