"""What a host has of a model before anything is fetched."""

from __future__ import annotations

import shutil

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.disk import bytes_below
from nodeinit.download.manifest import Manifest, total_size
from nodeinit.download.markers import vouched
from nodeinit.download.oserrors import explaining
from nodeinit.download.store import Shelf, problem_by_look


@attrs.frozen
class Look:
    """Bytes of a mode that are published, bytes that are staged, and bytes free on the disk."""

    present: int
    staged: int
    free: int


def look(root: str, manifest: Manifest, mode: NodeModelDownloadable) -> Look:
    """What the store at `root` on this host has of a model; reads none of its files. Blocking."""
    shelf = Shelf.of(root, manifest)
    known = vouched(shelf.path)
    there = (f for f in manifest.select(mode) if problem_by_look(shelf.path, f, known) is None)
    parent = next(path for path in (shelf.path, *shelf.path.parents) if path.exists())
    with explaining("look at", parent):
        free = shutil.disk_usage(parent).free
    return Look(total_size(there), sum(map(bytes_below, shelf.staged())), free)
