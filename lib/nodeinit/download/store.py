"""Where models live on a host, and whether one is complete there.

    ROOT/org--name/REVISION/            a published model: its files, read-only, never rewritten
    ROOT/org--name/REVISION/.nodeinit/  its ready markers, one per download mode
    ROOT/.nodeinit/staging/…            what is on its way, on the same file system
    ROOT/.nodeinit/locks/…              who may publish a revision
    ROOT/.nodeinit/digests/…            digests of local sources

A revision is a digest over all files (`Manifest.revision`), so its path is known before anything is
fetched and is the same on every host; several revisions lie side by side. Readers take no lock:
they ask `is_complete`. Lock and data are below one root: whoever shares the one shares the other.

This is not the cache of the Hugging Face Hub, on purpose. An engine is given a path, and loads any
directory of real files offline; that cache is one more writer's (another tool may move its `refs`
under a running engine, or be misled by ours), finds what is complete by whatever has arrived, and
leads through links out of the model's directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.digests import Digester, feed, side_by_side
from nodeinit.download.disk import remove
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.markers import Known, is_vouched_for, recorded, vouched
from nodeinit.download.oserrors import explained, explaining
from nodeinit.download.paths import META, safe_name
from nodeinit.errors import PermanentError

MISSING = "is missing"
"""What is said of a file that is not there at all."""


@attrs.frozen
class Problem:
    """One file that is not as the manifest says, and how."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file} {self.what}"


@attrs.frozen
class Shelf:
    """The places in a store that belong to one revision of a model."""

    root: Path
    model: str
    revision: str

    @classmethod
    def of(cls, root: str | Path, manifest: Manifest) -> Shelf:
        """The places of a manifest's model in the store at `root`."""
        top = Path(root).expanduser().absolute()
        return cls(top, safe_name(manifest.model_id), manifest.revision)

    @classmethod
    def at(cls, path: str | Path, manifest: Manifest) -> Shelf:
        """The places of a manifest's model that is to be published at `path`.

        Raises `PermanentError` unless `path` is what `published_path` gives for some root: nodeinit
        replaces what is damaged there and must not take another directory for its own.
        """
        shelf = cls.of(Path(path).absolute().parent.parent, manifest)
        if shelf.path != Path(path).absolute():
            raise PermanentError(
                f"{path} is not the place of {manifest.model_id} at revision {manifest.revision}; "
                f"it must end in {shelf.model}/{shelf.revision}"
            )
        return shelf

    @property
    def path(self) -> Path:
        """The directory to hand to the engine."""
        return self.root / self.model / self.revision

    @property
    def lock(self) -> Path:
        """Held by whoever changes anything of this revision."""
        return self.root / META / "locks" / f"{self.model}@{self.revision}.lock"

    def scratch(self, name: str) -> Path:
        """A name for a new directory of the job called `name`, in staging."""
        job = f"{self.model}@{self.revision}@{safe_name(name)}@{uuid4().hex[:8]}"
        return _staging(self.root) / job

    def relay_scratch(self, name: str) -> Path:
        """The same for what a job holds for other hosts: it may outlive the work on the revision.

        So it is none of `staged`, though `clean_staging` removes it with the rest of the job.
        """
        return _staging(self.root) / f"+{self.revision}@relay@{safe_name(name)}@{uuid4().hex[:8]}"

    def staged(self) -> list[Path]:
        """The directories of all jobs that are, or were, bringing this revision.

        Only the job that holds the lock is alive.
        """
        with explaining("list", _staging(self.root)):
            return sorted(_staging(self.root).glob(f"{self.model}@{self.revision}@*"))

    def clear_staging(self, *, keep: Path | None = None) -> None:
        """Remove what `staged` names, except `keep`. The caller holds the lock."""
        for directory in self.staged():
            if directory != keep:
                with explaining("remove", directory):
                    remove(directory)


def published_path(root: str | Path, manifest: Manifest) -> Path:
    """Where a manifest's model is, or will be, in the store at `root`."""
    return Shelf.of(root, manifest).path


def index_path(root: str | Path) -> Path:
    """Where a store keeps the digests of local sources: the `index` of `Source.manifest`."""
    return Path(root).expanduser().absolute() / META / "digests"


def clean_staging(root: str | Path, name: str) -> None:
    """Remove what the job called `name` left half-written in the store at `root`, if anything.

    The job must have ended: one that is still running fails when its files go.
    """
    staging = _staging(Path(root).expanduser().absolute())
    with explaining("clear", staging):
        for directory in staging.glob(f"*@*@{safe_name(name)}@*"):
            remove(directory)


def _staging(root: Path) -> Path:
    return root / META / "staging"


def is_complete(path: str | Path, manifest: Manifest, mode: NodeModelDownloadable) -> bool:
    """Whether everything that a mode needs was published at `path` and has not changed since.

    Reads markers and looks at sizes and times, not at bytes; `NONE` is always complete.
    """
    return not verify(path, manifest, mode)


def verify(
    path: str | Path,
    manifest: Manifest,
    mode: NodeModelDownloadable,
    *,
    rehash: bool = False,
    on_chunk: Callable[[str, int], None] = lambda file, count: None,
) -> tuple[Problem, ...]:
    """What is wrong with the model at `path` for a mode; nothing means complete.

    Without `rehash` a file must look as it did when a ready marker vouched for it. With `rehash`
    every byte is read, and the directory need not be one that nodeinit published: markers matter
    for files alone whose source gave no digest. `on_chunk(file, bytes)` is called along the way,
    from several threads.
    """
    directory = Path(path)
    files = manifest.select(mode)
    if not files and mode is not NodeModelDownloadable.NONE:
        return (Problem(manifest.model_id, f"has no files for {mode}"),)
    known = vouched(directory)

    def problem(file: ManifestFile) -> str | None:
        if not rehash:
            return problem_by_look(directory, file, known)
        return read_back(directory, file, recorded(file, known), on_chunk).problem

    answers = side_by_side(problem, files) if rehash else map(problem, files)
    return tuple(
        Problem(file.path, what) for file, what in zip(files, answers, strict=True) if what
    )


def on_record(path: str | Path, manifest: Manifest, mode: NodeModelDownloadable) -> dict[str, str]:
    """The sha256 that each file of a mode must have at `path`, as far as anybody has said it."""
    known = vouched(Path(path))
    return {file.path: recorded(file, known) for file in manifest.select(mode)}


def problem_by_look(directory: Path, file: ManifestFile, known: Known) -> str | None:
    """What is wrong with a file, as far as it can be seen without reading it."""
    seen = _regular(directory, file)
    if isinstance(seen, str):
        return seen
    if not is_vouched_for(file, seen, known):
        return "is not vouched for by a ready marker, or changed since"
    return None


@attrs.frozen
class ReadBack:
    """What came of reading a file: what is wrong with it, and else its sha256."""

    problem: str | None
    sha256: str = ""


def read_back(
    directory: Path, file: ManifestFile, sha256: str, on_chunk: Callable[[str, int], None]
) -> ReadBack:
    """Hold a file's size and content against the manifest, or against a `sha256` on record.

    A file that neither the manifest nor a record has a checksum for cannot be found right.
    """
    seen = _regular(directory, file)
    if isinstance(seen, str):
        return ReadBack(seen)
    digester = Digester(file, sha256)
    if not digester.can_tell:
        return ReadBack("cannot be verified: neither its source nor a ready marker has its digest")
    try:
        feed(digester, directory / file.path, lambda count: on_chunk(file.path, count))
    except OSError as error:
        if error.errno == errno.EIO:  # the disk lost it, which is damage; anything else is not
            return ReadBack("cannot be read back from the disk")
        raise explained(error, "read", directory / file.path) from error
    return ReadBack(digester.problem(), digester.sha256)


def _regular(directory: Path, file: ManifestFile) -> os.stat_result | str:
    """The looks of a regular file of the right size, or what is wrong with it."""
    try:
        seen = (directory / file.path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        raise explained(error, "look at", directory / file.path) from error
    if not stat.S_ISREG(seen.st_mode):
        return "is not a regular file"
    if seen.st_size != file.size:
        return f"has {seen.st_size} bytes instead of {file.size}"
    return seen
