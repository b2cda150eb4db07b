"""Brings one file from its source into staging, verified and durable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nodeinit.download.digests import Digester
from nodeinit.download.disk import READ_ONLY, fsync_file
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.sources import Source, shown
from nodeinit.download.store import ReadBack, read_back
from nodeinit.download.watch import CHUNK, Watch
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError


def copy(source: Source, manifest: Manifest, file: ManifestFile, target: Path, watch: Watch) -> str:
    """Copy a file to `target`, and return its sha256; a failure leaves no `target`.

    Raises `PermanentError` if the source has other bytes than the manifest says, `TemporaryError`
    if they were damaged on the way, and what explains an `OSError` on either side.
    """
    with explaining("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        came = _write(source, manifest, file, target, watch)
        if came.problem:
            raise _blame(source, manifest, file, came, watch)
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink()
        raise
    return came.sha256


def reuse(file: ManifestFile, donors: Iterable[Path], target: Path, watch: Watch) -> str | None:
    """Link a file to `target` from a tree that has it, if one does; its bytes are read first.

    Returns its sha256.
    """
    for donor in donors:
        with explaining("reuse", donor / file.path):
            found = read_back(donor, file, "", lambda _file, _count: watch.check())
            if not found.problem and link(file, donor, target):
                return found.sha256
    return None


def link(file: ManifestFile, donor: Path, target: Path) -> bool:
    """Link a verified file to `target`; `False` where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(donor / file.path)
    except OSError:
        return False
    target.chmod(READ_ONLY)
    fsync_file(target)
    return True


def _write(
    source: Source, manifest: Manifest, file: ManifestFile, target: Path, watch: Watch
) -> ReadBack:
    with explaining("write", target), target.open("xb") as writer:

        def put(chunk: bytes) -> None:
            watch.advance(file.path, len(chunk))
            with explaining("write", target):  # else it would be taken for a failure to read
                writer.write(chunk)

        came = _read(source, manifest, file, put)
        writer.flush()
        os.fchmod(writer.fileno(), READ_ONLY)
        os.fsync(writer.fileno())
    return came


def _read(
    source: Source, manifest: Manifest, file: ManifestFile, put: Callable[[bytes], None]
) -> ReadBack:
    """What the source gives, read no further than is plainly too far."""
    digester, size = Digester(file), 0
    where = f"{file.path} from {shown(manifest.source)}"
    with explaining("read", where), source.open(manifest.source, file) as reader:
        while size <= file.size and (chunk := reader.read(CHUNK)):
            digester.update(chunk)
            size += len(chunk)
            put(chunk)
    if size != file.size:
        return ReadBack(f"has {size} bytes instead of {file.size}", digester.sha256)
    return ReadBack(digester.problem(), digester.sha256)


def _blame(
    source: Source, manifest: Manifest, file: ManifestFile, came: ReadBack, watch: Watch
) -> NodeInitError:
    """Why the bytes were wrong: a source that gives the same wrong bytes again has changed."""
    again = _read(source, manifest, file, lambda _: watch.check())
    where = f"{file.path} from {shown(manifest.source)}"
    if again == came:
        return PermanentError(
            f"changed: {where} is not what it was when the manifest was made: it {came.problem}; "
            "start again to get the new model, and do not write to a model that is being served"
        )
    return TemporaryError(f"corrupted: {where} arrived damaged: it {came.problem}")
