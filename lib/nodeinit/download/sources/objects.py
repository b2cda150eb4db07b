"""A prefix of a bucket as a source: S3 and what speaks like it, Google Cloud Storage, Azure.

What the source gives to recognise bytes by, best first: the sha256 that the publisher laid beside
them (`checksums`); the MD5 that an ETag is where one try shows that this bucket's ETags are that;
the checksum that the store keeps (`store_checksums`); the ETag alone, under which every range is
then read.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import checksums
from nodeinit.download.sources.addresses import address
from nodeinit.download.sources.http_range import Get, HttpRange
from nodeinit.download.sources.listing import listed
from nodeinit.download.sources.places import Place, place_of
from nodeinit.download.sources.ranges import RangeReader, version_of
from nodeinit.download.sources.remembered import Memory, unchanged
from nodeinit.download.sources.store_checksums import with_kept
from nodeinit.download.sources.stores import CREDENTIALS, name_of, open_store
from nodeinit.download.sources.taxonomy import Asked, explaining
from nodeinit.download.sources.waiting import delay_of_bucket
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from nodeinit.download.watch import ShouldStop

_TRIED = 1 << 20  # bytes of the largest file that is read to learn what an ETag is


@attrs.frozen
class ObjectSource:
    """Serves the objects below a prefix. `places` says what its references look like.

    `environ` stands for this process's environment, if given.
    """

    settings: DownloadSettings = attrs.field(factory=DownloadSettings)
    environ: Mapping[str, str] | None = attrs.field(default=None, repr=False)

    def manifest(
        self,
        ref: str,
        model_id: str,
        *,
        index: Path | None = None,
        should_stop: ShouldStop | None = None,
        offline: bool = False,
    ) -> Manifest:
        """List the prefix, once, and read the publisher's checksums if there are some.

        A listing that `index` remembers costs no more than itself. Raises `PermanentError` for a
        prefix without files (`not_found`), for wrong or missing credentials (`auth`) and for names
        that no directory can hold; `TemporaryError` when the server cannot answer now. With
        `offline` the answer is what `index` remembers.
        """
        place = place_of(ref)
        store = self._store(place)
        memory = Memory(index, f"{place} ({name_of(store)})")
        if offline:
            return memory.offline(model_id)
        with explaining(_asked(place, "list the files", store)):
            entries = listed(store, place, self.settings.stall, should_stop)
        if not entries:
            raise PermanentError(
                f"not_found: the bucket {place.bucket!r} has nothing below "
                f"{place.prefix + '/' if place.prefix else 'its root'!r} ({place}); check the "
                "prefix: no other source is asked instead"
            )
        listing = [
            ManifestFile(one.path, one.size, version=version_of(one.etag)) for one in entries
        ]
        now = Manifest(model_id, place.ref, listing)
        known = unchanged(memory.manifest(model_id), now)
        if known is not None:
            return known
        files = self._with_sums(place, self._with_md5(place, now.files))
        files = with_kept(
            place,
            store,
            files,
            lambda file, key: _asked(place, f"ask for {file.path!r}", store, key),
            self.settings,
            Watch(should_stop=should_stop),
        )
        return memory.remember(attrs.evolve(now, files=files))

    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> HttpRange | RangeReader:
        """See `Source.open`: one request, of the version that the manifest names."""
        place = place_of(ref)
        key = place.key(file.key or file.path)
        store = self._store(place)
        asked = _asked(place, f"read {file.path!r}", store, key)
        with explaining(asked):
            url = address(place, store, key)
        if url is None:
            return RangeReader(store, key, file, offset, length, asked)
        get = Get(url, environ=self.environ)
        return HttpRange(get, file, offset, length, asked, self.settings)

    def _store(self, place: Place) -> Any:
        from obstore.exceptions import BaseError

        try:
            return open_store(place, self.settings, self.environ)
        except (BaseError, ValueError, OSError):
            asked = _asked(place, "open the bucket")
            raise asked.denied("what the environment gives cannot be used") from None

    def _body(self, place: Place, file: ManifestFile) -> bytes:
        with closing(self.open(place.ref, file)) as reader:
            return b"".join(iter(lambda: reader.read(1 << 20), b""))

    def _with_sums(self, place: Place, files: Sequence[ManifestFile]) -> Sequence[ManifestFile]:
        """The files with the sha256 that the publisher gives, if he does."""
        for name in checksums.NAMES:
            file = next((file for file in files if file.path == name), None)
            if file is None or file.size > checksums.MOST_BYTES:
                continue
            where = f"{name} in {place}"
            sums = checksums.parsed(name, self._body(place, file), where)
            if sums is not None:
                return checksums.with_sums(files, sums, where)
        return files

    def _with_md5(self, place: Place, files: Sequence[ManifestFile]) -> Sequence[ManifestFile]:
        """The files with the MD5 that their ETags are, if the smallest file's ETag is its MD5.

        An encrypted object's ETag (SSE-KMS, SSE-C) only looks like one; encryption is the same for
        the files of one upload.
        """
        candidates = [file for file in files if file.size and checksums.md5_of(file.version)]
        if not candidates or place.kind == "azure":
            return files
        tried = min(candidates, key=lambda file: (file.size, file.path))
        if tried.size > _TRIED:
            return files
        body = self._body(place, tried)
        if hashlib.md5(body, usedforsecurity=False).hexdigest() != checksums.md5_of(tried.version):
            return files
        return [
            attrs.evolve(file, digest=f"md5:{md5}")
            if (md5 := checksums.md5_of(file.version))
            else file
            for file in files
        ]


def _asked(place: Place, action: str, store: Any = None, key: str = "") -> Asked:
    delay = None
    if store is not None:
        # Whether the key exists does not matter: a rate limit is answered before it is looked for.
        sample = key or place.key("config.json")
        delay = functools.partial(delay_of_bucket, place, store, sample)
    return Asked(action, str(place), CREDENTIALS[place.kind], delay)
