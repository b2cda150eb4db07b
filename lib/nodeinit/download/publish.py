"""How a verified model becomes visible: at once, file by file beside what is there, or instead.

The caller holds the revision's lock. A reader that asks `is_complete` never sees a half model: the
first publish is one rename that brings its marker along, every later one writes its marker last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.digests import side_by_side
from nodeinit.download.disk import fsync_directories, fsync_directory
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.markers import mark, recorded, unmark, vouched
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META
from nodeinit.download.store import MISSING, Problem, ReadBack, Shelf, problem_by_look, read_back
from nodeinit.download.watch import Watch
from nodeinit.download.work import Work, staged_sha256
from nodeinit.errors import PermanentError


@attrs.frozen
class Survey:
    """What is at a published path already: right files, absent ones, and damage.

    `digests` are the sha256 of the good ones, by path.
    """

    exists: bool
    good: tuple[ManifestFile, ...]
    missing: tuple[ManifestFile, ...]
    damaged: tuple[Problem, ...] = ()
    digests: Mapping[str, str] = attrs.field(factory=dict)


def survey(shelf: Shelf, files: Sequence[ManifestFile], watch: Watch, *, rehash: bool) -> Survey:
    """Look at every file that no marker vouches for, or with `rehash` at every file, byte by byte.

    A file that was renamed into place by a run that died before its marker is found good; one that
    had been published and is gone, or is wrong, is damage.
    """
    path = shelf.path
    with explaining("look at", path):
        if not path.is_symlink() and (not path.exists() or _is_empty(path)):
            return Survey(False, (), tuple(files))
        if path.is_symlink() or not (path / META).is_dir():
            raise PermanentError(
                f"{path} exists but was not published by nodeinit; move it out of the way"
            )
    known = vouched(path)
    works = [Work(directory) for directory in shelf.staged()]
    good, missing, damaged, doubtful = [], [], [], []
    digests: dict[str, str] = {}
    for file in files:
        look = problem_by_look(path, file, known)
        if look is None and not rehash:
            good.append(file)
            digests[file.path] = recorded(file, known)
        elif look == MISSING and file.path not in known:
            missing.append(file)
        elif look == MISSING:
            damaged.append(Problem(file.path, look))
        else:
            doubtful.append(file)
    watch.begin("verify", total_size(doubtful))

    def look_closer(file: ManifestFile) -> ReadBack:
        sha256 = recorded(file, known) or staged_sha256(file, works)
        return read_back(path, file, sha256, watch.advance)

    for file, found in zip(doubtful, side_by_side(look_closer, doubtful), strict=True):
        if found.problem is None:
            good.append(file)
            digests[file.path] = found.sha256
        else:
            damaged.append(Problem(file.path, found.problem))
    return Survey(True, tuple(good), tuple(missing), tuple(damaged), digests)


def publish(
    shelf: Shelf,
    work: Work,
    manifest: Manifest,
    mode: NodeModelDownloadable,
    found: Survey,
    digests: Mapping[str, str],
) -> None:
    """Make the files of `work.model` visible, with the marker of their mode.

    `digests` are the sha256 of all the mode's files, by path. Unless `found` has whole files to stay
    beside, `work.model` holds every file of the mode.
    """
    files = manifest.select(mode)
    with explaining("publish", shelf.path):
        if found.exists and not found.damaged:
            _add(shelf, work, found.missing)
            mark(shelf.path, manifest, mode, files, digests, work.marker)
            return
        mark(work.model, manifest, mode, files, digests, work.marker)
        fsync_directories(work.model)
        if found.damaged:
            shelf.path.rename(work.damaged)
        work.model.rename(shelf.path)
        fsync_directory(shelf.path.parent)
        fsync_directory(shelf.root)


def withdraw(shelf: Shelf) -> None:
    """Take back the markers of a damaged model at once; its files stay until they are replaced."""
    with explaining("withdraw", shelf.path):
        unmark(shelf.path)


def _add(shelf: Shelf, work: Work, files: Sequence[ManifestFile]) -> None:
    for file in files:
        target = shelf.path / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        (work.model / file.path).rename(target)
    if files:
        fsync_directories(shelf.path)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
