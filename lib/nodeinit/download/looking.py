"""What a host has of a model before anything is fetched."""

from __future__ import annotations

import shutil

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.markers import vouched
from nodeinit.download.oserrors import explaining
from nodeinit.download.parts import Part
from nodeinit.download.store import Shelf, problem_by_look
from nodeinit.download.work import Work


@attrs.frozen
class Look:
    """Bytes of a mode that are published, those that only are staged, and bytes free on the disk."""

    present: int
    staged: int
    free: int


def look(root: str, manifest: Manifest, mode: NodeModelDownloadable) -> Look:
    """What the store at `root` on this host has of a model; reads none of its files. Blocking."""
    shelf = Shelf.of(root, manifest)
    known = vouched(shelf.path)
    files = manifest.select(mode)
    absent = [file for file in files if problem_by_look(shelf.path, file, known)]
    works = [Work(directory) for directory in shelf.staged()]
    staged = sum(max((_staged(file, work) for work in works), default=0) for file in absent)
    parent = next(path for path in (shelf.path, *shelf.path.parents) if path.exists())
    with explaining("look at", parent):
        free = shutil.disk_usage(parent).free
    return Look(total_size(files) - total_size(absent), staged, free)


def _staged(file: ManifestFile, work: Work) -> int:
    """What a job has of a file: all of it, or the chunks that it has recorded."""
    with explaining("look at", work.directory):
        whole = work.model / file.path
        if whole.exists() and whole.stat().st_size == file.size:
            return file.size
    return Part(file, work).have
