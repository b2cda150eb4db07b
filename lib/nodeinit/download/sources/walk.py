"""The files of a model's directory, in a fixed order, with a refusal for everything doubtful."""

from __future__ import annotations

import fnmatch
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META, check_paths
from nodeinit.errors import PermanentError

logger = logging.getLogger(__name__)

LEFT_OUT = (".git", ".cache", META, "*.incomplete", "*~", ".*.sw?", ".DS_Store")
"""Names that are no part of a model, at any depth: version control, a downloader's own notes and
half files, what a published model keeps about itself, and what editors leave. Everything else is
part of the model; whatever is left out is logged."""


def walk(directory: Path) -> dict[str, Path]:
    """The model's files by relative path, each with the real path of its bytes.

    Raises `PermanentError` for names that are unsafe (`paths.check_paths`), for anything that is
    neither a directory nor a regular file, and for links that lead out of the model.
    """
    homes = (directory, *_hub_blobs(directory))
    found = dict(sorted(_entries(directory, "", homes)))
    check_paths(found)
    return found


def real_file(directory: Path, path: str) -> Path:
    """The real path of one file of the model; refuses what `walk` refuses."""
    return _regular(directory / path, (directory, *_hub_blobs(directory)))


def _entries(directory: Path, prefix: str, homes: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    with explaining("list", directory), os.scandir(directory) as listing:
        entries = list(listing)
    for entry in entries:
        path = prefix + entry.name
        if entry.name == META and (prefix or Path(entry.path, "locks").exists()):
            raise PermanentError(
                f"{directory} is where nodeinit keeps models; a source cannot contain them: "
                "name the directory of one model"
            )
        if any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in LEFT_OUT):
            logger.info("%s is left out of the model", entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), f"{path}/", homes)
        else:
            yield path, _regular(Path(entry.path), homes)


def _regular(path: Path, homes: tuple[Path, ...]) -> Path:
    with explaining("read", path):
        real = Path(os.path.realpath(path, strict=True))  # Path.resolve: no OSError for a circle
        mode = real.stat().st_mode
    if not any(real.is_relative_to(home) for home in homes):
        raise PermanentError(
            f"{path} leads to {real}, outside of the model's directory; "
            "put a copy of the file in its place"
        )
    if not stat.S_ISREG(mode):
        raise PermanentError(
            f"{path} is not a regular file; a model has only files and directories, and no links "
            "to directories: take it out or put a copy in its place"
        )
    return real


def _hub_blobs(directory: Path) -> tuple[Path, ...]:
    """Where a snapshot in a Hugging Face cache keeps its bytes.

    The layout is `CACHE/models--org--name/snapshots/REVISION/file`, a link to `../../blobs/DIGEST`,
    which may itself be a link into `CACHE/blobs`.
    """
    for parent in directory.parents:
        if parent.name == "snapshots" and parent.parent.name.startswith("models--"):
            return parent.parent / "blobs", parent.parent.parent / "blobs"
    return ()
