"""What a host can tell before the first byte is fetched: what it lacks, and whether that fits.

Also whether several hosts see one store: one leaves a sign in its own, the others look for it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.markers import vouched
from nodeinit.download.paths import META
from nodeinit.download.space import preflight
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
    preflight(manifest, mode, path)
    return total_size(lacking(manifest, mode, Shelf.at(path, manifest).path))


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
