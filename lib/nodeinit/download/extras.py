"""Puts the files that go beside a model into places of their own: compile caches, adapters.

They are brought into the store like a model, and copied from there: a place of their own is written
to by others, and what is in the store is not. A file appears in its place at once, by a rename.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from nodeinit.download.digests import side_by_side
from nodeinit.download.flight import held
from nodeinit.download.manifest import Extra, ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META
from nodeinit.download.store import read_back
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError


def install(extra: Extra, published: Path, root: Path, watch: Watch) -> int:
    """Copy the files of an extra that are absent or different; answers how many bytes.

    `published` is where they are in the store at `root`. Nothing else in the destination is
    touched. Raises `PermanentError` for a destination that is not absolute, or leads into the store.
    """
    place = destination(extra, root)
    with held(_lock(root, place), watch):
        absent = [file for file in extra.manifest.files if not _is_same(file, published, place)]
        for file in absent:
            watch.check()
            _copy(published / file.path, place / file.path)
    return sum(file.size for file in absent)


def missing(extra: Extra, root: Path, published: Path) -> Iterator[str]:
    """The files of an extra that are not in their place as they are in the store."""
    place = destination(extra, root)
    for file in extra.manifest.files:
        if not _is_same(file, published, place):
            yield str(place / file.path)


def lacking(extra: Extra, watch: Watch) -> list[str]:
    """What is wrong with the files of an extra that somebody else put into their places."""
    place = destination(extra, None)

    def problem(file: ManifestFile) -> str | None:
        return read_back(place, file, "", lambda _file, _count: watch.check()).problem

    found = zip(extra.manifest.files, side_by_side(problem, extra.manifest.files), strict=True)
    return [f"{place / file.path} {what}" for file, what in found if what]


def destination(extra: Extra, root: Path | None) -> Path:
    """The directory that an extra goes to on this host."""
    try:
        place = Path(extra.destination).expanduser()
    except RuntimeError:
        place = Path(extra.destination)
    if not place.is_absolute():
        raise PermanentError(
            f"unsafe_path: the destination {extra.destination!r} of extra files is not an absolute "
            "path on this host; write one, or one that begins with ~/"
        )
    if root is not None and Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root)):
        raise PermanentError(
            f"unsafe_path: the destination {extra.destination!r} of extra files is inside of the "
            f"store {root}, whose files are never written to; name another directory"
        )
    return place


def _is_same(file: ManifestFile, published: Path, place: Path) -> bool:
    """Whether a copy is in its place: by its looks, else by its bytes."""
    with explaining("look at", place / file.path):
        try:
            if (place / file.path).is_symlink():
                return False
            there, here = (place / file.path).stat(), (published / file.path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if there.st_size != here.st_size:
            return False
        if there.st_mtime_ns == here.st_mtime_ns:
            return True
        return _bytes_of(place / file.path) == _bytes_of(published / file.path)


def _bytes_of(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{META}.{hashlib.md5(target.name.encode()).hexdigest()[:16]}")
    with explaining("install", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Left by a run that was killed: nobody else has this name while we hold the lock.
        temporary.unlink(missing_ok=True)
        try:
            shutil.copyfile(source, temporary)
            seen = source.stat()
            os.utime(temporary, ns=(seen.st_atime_ns, seen.st_mtime_ns))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _lock(root: Path, place: Path) -> Path:
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return root / META / "locks" / f"+place-{name}.lock"
