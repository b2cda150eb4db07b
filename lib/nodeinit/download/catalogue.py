"""What is in a store: every model, what of it is there, whether it is whole, and who uses it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download import marks
from nodeinit.download.digests import side_by_side
from nodeinit.download.disk import bytes_below
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.markers import Vouched, vouched
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import META
from nodeinit.download.store import Problem, Shelf, problem_by_look, read_back


@attrs.frozen
class Entry:
    """One revision of a model in a store.

    `modes` are those that are complete, or were before a file was damaged; `bytes` is what the
    published files take, `staged` what is on its way or was left by a job that is no more.
    `problems` are the published files that do not look as they did, `used` is when the revision was
    last taken into use or published (Unix time, seconds), `users` who uses it now.
    """

    shelf: Shelf
    model_id: str
    modes: tuple[NodeModelDownloadable, ...]
    files: int
    bytes: int
    staged: int
    problems: tuple[Problem, ...]
    used: float
    users: tuple[marks.Mark, ...]

    @property
    def published(self) -> bool:
        """Whether there is anything but what was staged."""
        return self.files > 0 or self.shelf.path.exists()


def catalogue(root: str | Path) -> tuple[Entry, ...]:
    """The revisions in the store at `root`, by model and then newest first.

    Looks at files, reads none of the models. A store that is not there is empty. Raises what
    explains an `OSError`.
    """
    top = Path(root).expanduser().absolute()
    found = {*_published(top), *_staged(top)}
    entries = (_entry(Shelf(top, model, revision)) for model, revision in found)
    return tuple(sorted(entries, key=lambda entry: (entry.model_id, -entry.used)))


def damage(
    entry: Entry, *, full: bool, on_chunk: Callable[[str, int], None] = lambda file, count: None
) -> tuple[Problem, ...]:
    """The published files of a revision that are not what was verified when they were published.

    Without `full` only the bytes of those that do not look as they did are read, with it all.
    `on_chunk(file, bytes)` is called along the way, from several threads.
    """
    directory = entry.shelf.path
    doubtful = {problem.file for problem in entry.problems}
    asked = [one for one in _newest(directory).values() if full or one.path in doubtful]

    def problem(known: Vouched) -> str | None:
        file = ManifestFile(known.path, known.size, known.sha256)
        return read_back(directory, file, known.sha256, on_chunk).problem

    answers = zip(asked, side_by_side(problem, asked), strict=True)
    return tuple(Problem(known.path, what) for known, what in answers if what)


def _entry(shelf: Shelf) -> Entry:
    known, directory = _newest(shelf.path), shelf.path
    all_known = vouched(directory)
    looks = (
        (path, problem_by_look(directory, ManifestFile(path, one.size, one.sha256), all_known))
        for path, one in known.items()
    )
    staged = sum(map(bytes_below, shelf.staged()))
    present = _sizes(directory)
    return Entry(
        shelf=shelf,
        model_id=_model_id(directory) or shelf.model.replace("--", "/", 1),
        modes=tuple(m for m in NodeModelDownloadable if _marker(directory, m).is_file()),
        files=len(present),
        bytes=sum(present.values()),
        staged=staged,
        problems=tuple(sorted((Problem(p, what) for p, what in looks if what), key=str)),
        used=max(marks.last_used(shelf) or 0.0, _published_at(directory)),
        users=marks.users(shelf),
    )


def _newest(directory: Path) -> dict[str, Vouched]:
    """Each published file as the newest marker knows it: a repair gives a file another time."""
    known = vouched(directory)
    return {path: max(ones, key=lambda one: one.mtime_ns) for path, ones in known.items()}


def _sizes(directory: Path) -> dict[str, int]:
    found = {}
    for folder, names, files in os.walk(directory):
        if Path(folder) == directory:
            names[:] = [name for name in names if name != META]
        for file in files:
            path = Path(folder, file)
            found[str(path)] = path.lstat().st_size
    return found


def _published(top: Path) -> set[tuple[str, str]]:
    """Directories that nodeinit published: nothing else below a store is ever touched."""
    with explaining("list", top):
        return {(p.parent.parent.name, p.parent.name) for p in top.glob(f"[!.]*/*/{META}")}


def _staged(top: Path) -> set[tuple[str, str]]:
    staging = top / META / "staging"
    with explaining("list", staging):
        parts = (path.name.split("@") for path in staging.glob("*@*@*"))
        return {(model, revision) for model, revision, *_ in parts}


def _published_at(directory: Path) -> float:
    """When the last marker was written; of a model without one, when its directory was."""
    for path in (directory / META, directory):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _model_id(directory: Path) -> str | None:
    for mode in NodeModelDownloadable:
        try:
            return str(json.loads(_marker(directory, mode).read_bytes())["model_id"])
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return None


def _marker(directory: Path, mode: NodeModelDownloadable) -> Path:
    return directory / META / f"{mode}.json"
