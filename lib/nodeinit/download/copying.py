"""Brings one file from its source into staging, verified and durable."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nodeinit.download.disk import READ_ONLY, fsync_file
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.sources import Source, shown
from nodeinit.download.store import problem_by_bytes
from nodeinit.download.watch import CHUNK, Watch
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError


def copy(
    source: Source, manifest: Manifest, file: ManifestFile, target: Path, watch: Watch
) -> None:
    """Copy a file to `target`, hashing what passes; a failure leaves no `target`.

    Raises `PermanentError` if the source has other bytes than the manifest says, `TemporaryError`
    if they were damaged on the way, and what explains an `OSError` on either side.
    """
    with explaining("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        came = _write(source, manifest, file, target, watch)
        if came != (file.size, file.sha256):
            raise _blame(source, manifest, file, came, watch)
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def reuse(file: ManifestFile, donors: Iterable[Path], target: Path, watch: Watch) -> bool:
    """Link a file to `target` from a tree that has it, if one does; its bytes are read first."""
    for donor in donors:
        with explaining("reuse", donor / file.path):
            if not problem_by_bytes(donor, file, lambda _file, _count: watch.check()):
                return link(file, donor, target)
    return False


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
) -> tuple[int, str]:
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
) -> tuple[int, str]:
    """The size and sha256 of what the source gives, read no further than is plainly too far."""
    digest, size = hashlib.sha256(), 0
    where = f"{file.path} from {shown(manifest.source)}"
    with explaining("read", where), source.open(manifest.source, file) as reader:
        while size <= file.size and (chunk := reader.read(CHUNK)):
            digest.update(chunk)
            size += len(chunk)
            put(chunk)
    return size, digest.hexdigest()


def _blame(
    source: Source, manifest: Manifest, file: ManifestFile, came: tuple[int, str], watch: Watch
) -> NodeInitError:
    """Why the bytes were wrong: a source that gives the same wrong bytes again has changed."""
    again = _read(source, manifest, file, lambda _: watch.check())
    where = f"{file.path} from {shown(manifest.source)}"
    if again == came:
        return PermanentError(
            f"{where} changed since the manifest was made: it has {came[0]} bytes with sha256 "
            f"{came[1][:12]}…, not {file.size} with {file.sha256[:12]}…; start again to get the "
            "new model, and do not write to a model that is being served"
        )
    return TemporaryError(
        f"{where} arrived damaged: {came[0]} bytes with sha256 {came[1][:12]}… instead of "
        f"{file.size} with {file.sha256[:12]}…"
    )
