"""Whether files fit on the disks of this host, asked before the first byte is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.markers import vouched
from nodeinit.download.oserrors import explaining
from nodeinit.download.store import Shelf, problem_by_look, published_path
from nodeinit.download.work import Work
from nodeinit.errors import PermanentError

_RESERVE = 16 * 1024 * 1024  # bytes to leave for logs and locks; a model gets 1 % on top
_SPARE_INODES = 64


@attrs.frozen
class Need:
    """Files that are to be written to a directory, which need not exist yet.

    `here` is how many of their bytes the disk holds already.
    """

    directory: Path
    files: tuple[ManifestFile, ...]
    here: int = 0


def preflight(manifest: Manifest, mode: NodeModelDownloadable, path: str | Path) -> None:
    """Raise `PermanentError` (`disk_full: …`) unless a fetch on this host would find room.

    `manifest`, `mode` and `path` are what `bring` gets. Counts the model and its extras, less what
    was published or staged already. Writes nothing, opens no socket.
    """
    check_needs(_needs(manifest, mode, path))


def check_needs(needs: Iterable[Need]) -> None:
    """`check_space` for each disk that several needs are about."""
    disks: dict[int, list[Need]] = {}
    for need in needs:
        directory = _existing(need.directory)
        with explaining("look at", directory):
            device = directory.stat().st_dev
        disks.setdefault(device, []).append(attrs.evolve(need, directory=directory))
    for same in disks.values():
        files = [file for need in same for file in need.files]
        check_space(same[0].directory, files, here=sum(need.here for need in same))


def check_space(directory: Path, files: Sequence[ManifestFile], *, here: int = 0) -> None:
    """Raise `PermanentError` (`disk_full: …`) unless `files` fit on the disk of `directory`.

    `here` is how many of their bytes the disk holds already; a small reserve must stay. Counts
    bytes (each file in whole blocks) and inodes, as far as the file system tells them.
    """
    with explaining("ask for the free space of", directory):
        disk = os.statvfs(directory)
    block = disk.f_frsize or 4096
    blocks = sum(-(-file.size // block) for file in files)
    need = max(0, blocks * block - here) + _RESERVE + total_size(files) // 100 if files else 0
    free = disk.f_bavail * block
    if need > free:
        raise PermanentError(
            f"disk_full: the disk of {directory} is too small: {_gib(need)} are needed and "
            f"{_gib(free)} are free; free {_gib(need - free)} more or use another model directory"
        )
    inodes = len(files) + _SPARE_INODES if files else 0
    if disk.f_files and inodes > disk.f_favail:  # f_files is 0 where inodes are not counted
        raise PermanentError(
            f"disk_full: the disk of {directory} has {disk.f_favail} free inodes and {inodes} are "
            "needed; remove some files or use another model directory"
        )


def _needs(manifest: Manifest, mode: NodeModelDownloadable, path: str | Path) -> Iterator[Need]:
    root = Shelf.at(path, manifest).root
    yield _lacking(manifest, mode, Path(path))
    for extra in manifest.extras:
        everything = NodeModelDownloadable.MODEL_AND_TOKENIZER
        yield _lacking(extra.manifest, everything, published_path(root, extra.manifest))
        place = Path(extra.destination).expanduser()
        files = [file for file in extra.manifest.files if not _is_as_large(place, file)]
        yield Need(place, tuple(files))


def _lacking(manifest: Manifest, mode: NodeModelDownloadable, path: Path) -> Need:
    shelf = Shelf.at(path, manifest)
    known = vouched(shelf.path)
    works = [Work(directory) for directory in shelf.staged()]
    lacking, here = [], 0
    for file in manifest.select(mode):
        staged = any(_is_as_large(work.model, file) for work in works)
        if not staged and problem_by_look(shelf.path, file, known):
            lacking.append(file)
            here += max((work.allocated(file) for work in works), default=0)
    return Need(shelf.root, tuple(lacking), here)


def _is_as_large(directory: Path, file: ManifestFile) -> bool:
    try:
        return (directory / file.path).stat().st_size == file.size
    except OSError:
        return False


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _gib(count: int) -> str:
    return f"{count / 2**30:.3f} GiB"
