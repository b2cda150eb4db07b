"""Takes into staging what is on this host already, verified: by a link, or by a rename."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from nodeinit.download.digests import Digester, feed
from nodeinit.download.disk import READ_ONLY, fsync_file
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.safetensors import problem_of
from nodeinit.download.store import ReadBack, read_back
from nodeinit.download.watch import Watch
from nodeinit.download.work import Work, staged_sha256


def reuse(file: ManifestFile, donors: Iterable[Work], target: Path, watch: Watch) -> str | None:
    """Link a file to `target` from a job's tree that has it, if one does; its bytes are read first.

    Returns its sha256.
    """
    for work in donors:
        for donor in (work.model, work.damaged):
            with explaining("reuse", donor / file.path):
                if not (donor / file.path).exists():
                    continue
                sha256 = staged_sha256(file, [work])
                found = read_back(donor, file, sha256, lambda _file, _count: watch.check())
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


def take(file: ManifestFile, work: Work, watch: Watch, *, trusting: bool) -> ReadBack:
    """Move a file that somebody put into `work.brought` to its place, if its bytes are right.

    Whoever put it there is not believed: it may be a link to elsewhere, or not what it should be.
    With `trusting` a file is right that nobody has a checksum of, if it is of the right size.
    """
    brought = work.brought / file.path
    target = work.model / file.path
    with explaining("take", target):
        if problem := _doubt(file, brought, work.brought):
            return ReadBack(problem)
        digester = Digester(file)
        if not digester.can_tell and not trusting:
            return ReadBack("cannot be verified")
        feed(digester, brought, lambda count: watch.check())
        problem = digester.problem() or problem_of(brought)
        if problem:
            return ReadBack(problem, digester.sha256)
        brought.chmod(READ_ONLY)
        fsync_file(brought)
        target.parent.mkdir(parents=True, exist_ok=True)
        work.remember(file, digester.sha256)
        brought.rename(target)
    return ReadBack(None, digester.sha256)


def _doubt(file: ManifestFile, brought: Path, top: Path) -> str | None:
    try:
        seen = brought.lstat()
        inside = Path(os.path.realpath(brought, strict=True)) == top.resolve() / file.path
    except (FileNotFoundError, NotADirectoryError):
        return "was not brought"
    if not stat.S_ISREG(seen.st_mode) or not inside:
        return "is not a regular file"
    if seen.st_size != file.size:
        return f"has {seen.st_size} bytes instead of {file.size}"
    return None
