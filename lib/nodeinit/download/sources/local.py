"""A directory as a source: on this host, or on a file system that all hosts share."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from nodeinit.download.digests import sha256_of
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.paths import check_relative
from nodeinit.download.sources.index import DigestIndex, stamp_of
from nodeinit.download.sources.walk import LEFT_OUT, real_file, walk
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from nodeinit.download.watch import ShouldStop

_READERS = 8  # sha256 runs outside of the interpreter lock: one core hashes about 1.7 GB/s


class LocalSource:
    """Serves the files below a directory. Its reference is a path or a `file://` URL."""

    def manifest(
        self,
        ref: str,
        model_id: str,
        *,
        index: Path | None = None,
        should_stop: ShouldStop | None = None,
        offline: bool = False,
    ) -> Manifest:
        """Hash every file of the directory, except those whose digest `index` remembers.

        `sources.walk` says which files these are. Raises `PermanentError` for a directory that is
        not there, has no files or holds what cannot be served; `TemporaryError` for a file that
        changes while it is read.
        """
        directory = directory_of(ref)
        digests = DigestIndex(index, directory)
        paths = walk(directory.resolve())
        if not paths:
            raise PermanentError(
                f"there is nothing to serve in {directory}: it has no files "
                f"(names like {', '.join(LEFT_OUT)} do not count)"
            )
        watch = Watch(should_stop=should_stop)

        def digested(path: str) -> ManifestFile:
            watch.check()
            return _digested(path, paths[path], digests, watch)

        with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:
            files = tuple(pool.map(digested, paths))
        digests.save()
        return Manifest(model_id, str(directory), files)

    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> BinaryIO:
        """The file's bytes from `offset` on; refuses what `manifest` refuses.

        Whoever wants only `length` of them stops reading: nothing is read ahead.
        """
        path = real_file(directory_of(ref).resolve(), check_relative(file.path))
        # A pipe put in the file's place must neither block the open nor be read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        reader = os.fdopen(descriptor, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            reader.close()
            raise PermanentError(f"{path} is not a regular file any more")
        reader.seek(offset)
        return reader


def directory_of(ref: str) -> Path:
    """The absolute path of the directory that a reference names, with its links left as they are.

    Raises `PermanentError` if it is not a directory on this host, or a URL of another host.
    """
    name = ref
    if ref[:7].lower() == "file://":
        url = urlsplit(ref)
        if url.netloc not in ("", "localhost"):
            raise PermanentError(
                f"model source {ref!r} names the host {url.netloc!r}; write file:///path, "
                "with three slashes, for a directory that is mounted on every host"
            )
        name = unquote(url.path)
    if "\0" in name or not name:
        raise PermanentError(f"model source {ref!r} is not the name of a directory")
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError:
        raise PermanentError(f"model source {ref!r} names a user that this host has not") from None
    with explaining("look at", path):
        found = path.is_dir()
    if not found:
        what = "is not a directory" if path.exists() else "does not exist on this host"
        raise PermanentError(
            f"model source {path} {what}; a directory must be at the same path on every host of "
            "the node (a shared file system, or a copy on each)"
        )
    return path


def _digested(path: str, real: Path, digests: DigestIndex, watch: Watch) -> ManifestFile:
    with explaining("read", real):
        before = real.stat()
        stamp = stamp_of(before)
        sha256 = digests.get(path, stamp) or sha256_of(real, lambda _: watch.check())
        after = real.stat()
    if stamp_of(after) != stamp:
        raise TemporaryError(
            f"{real} changed while it was being read; wait until the model has been written"
        )
    digests.put(path, stamp, sha256)
    return ManifestFile(path, before.st_size, sha256)
