"""What a host can tell before the first byte is fetched: what it lacks, and whether that fits.

Also whether several hosts see one store: one leaves a sign in its own, the others look for it.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.markers import vouched
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META
from nodeinit.download.space import check_space
from nodeinit.download.store import Shelf, problem_by_look

_STALE = 24 * 3600.0  # seconds after which a sign is of a run that was killed


def lacking(
    manifest: Manifest, mode: NodeModelDownloadable, path: str | Path
) -> list[ManifestFile]:
    """The files of a mode that no marker at `path` vouches for."""
    directory = Path(path)
    known = vouched(directory)
    return [file for file in manifest.select(mode) if problem_by_look(directory, file, known)]


def check_room(manifest: Manifest, mode: NodeModelDownloadable, path: str | Path) -> int:
    """How many bytes are to be fetched. Raises `PermanentError` when they do not fit on the disk.

    What an earlier try left in staging takes its room already.
    """
    shelf = Shelf.at(path, manifest)
    absent = lacking(manifest, mode, shelf.path)
    if absent:
        staged = {
            (entry.name, entry.stat().st_size)
            for top in shelf.staged()
            for entry in top.rglob("*")
            if entry.is_file()
        }
        here = [file for file in absent if (Path(file.path).name, file.size) in staged]
        check_space(_existing(shelf.root), [file for file in absent if file not in here])
    return total_size(absent)


def leave_sign(root: Path, token: str) -> None:
    """Write what other hosts can look for in the store at `root`; one that cannot be is left out."""
    signs = root / META / "signs"
    with contextlib.suppress(OSError):
        signs.mkdir(parents=True, exist_ok=True)
        (signs / token).touch()
        for old in signs.iterdir():
            if time.time() - old.stat().st_mtime > _STALE:
                old.unlink()


def sees_sign(root: Path, token: str) -> bool:
    """Whether the sign that another host left is in the store at `root` here."""
    return (root / META / "signs" / token).exists()


def take_sign(root: Path, token: str) -> None:
    """Remove a sign."""
    with contextlib.suppress(OSError):
        (root / META / "signs" / token).unlink(missing_ok=True)
        (root / META / "signs").rmdir()


def _existing(directory: Path) -> Path:
    """The nearest directory that exists: it is on the file system where a new one would be."""
    with explaining("look at", directory):
        while not os.path.lexists(directory) and directory != directory.parent:
            directory = directory.parent
    return directory
