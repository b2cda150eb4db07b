"""A range of a file that only `obstore` can read, of exactly the version that the manifest names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from nodeinit.download.manifest import ManifestFile
from nodeinit.download.sources.taxonomy import Asked, by_status, explaining
from nodeinit.errors import TemporaryError

SINCE = "last-modified: "
"""What a version begins with that is the time of the last change."""

# Small enough to hear of every byte soon; larger pieces were not found to cost less.
_PIECE = 64 * 1024


def version_of(etag: str | None, modified: str | None = None) -> str:
    """What a source calls a version: its strong ETag, or else the time of its last change.

    A weak ETag (`W/"…"`) may stay the same when bytes change, so it is none.
    """
    if etag and not etag.startswith("W/"):
        return etag if etag.startswith('"') else f'"{etag}"'
    return f"{SINCE}{modified}" if modified else ""


def modified_text(when: datetime) -> str:
    """A moment as HTTP writes it."""
    return format_datetime(when.astimezone(UTC), usegmt=True)


class RangeReader:
    """`length` bytes of a file from `offset` on; see `Source.open`.

    Chunks are what has come, at most 64 KiB held back, so that a reader who counts bytes sees
    that they come.
    """

    def __init__(
        self,
        store: Any,
        key: str,
        file: ManifestFile,
        offset: int,
        length: int | None,
        asked: Asked,
    ) -> None:
        self._asked = asked
        self._left = max(file.size - offset, 0) if length is None else length
        self._rest = b""
        self._pieces: Iterator[bytes] = iter(())
        if self._left:
            with explaining(asked):
                self._pieces = self._opened(store, key, file, offset)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end.

        Raises `TemporaryError` if the connection breaks off before all bytes have come.
        """
        if not self._rest and self._left:
            with explaining(self._asked):
                self._rest = next(self._pieces, b"")
            if not self._rest:
                raise TemporaryError(
                    self._asked.failed("unavailable", f"{self._left} bytes have not come")
                )
        chunk = self._rest[: min(size, self._left)]  # no copy where it is all of it
        self._rest = self._rest[len(chunk) :]
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Stop reading; the connection is given up if bytes are still coming."""
        self._left, self._rest, self._pieces = 0, b"", iter(())

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self, store: Any, key: str, file: ManifestFile, offset: int) -> Iterator[bytes]:
        import obstore

        options: Any = {}
        # A server without ranges can still give a whole file.
        if offset or self._left != file.size:
            options["range"] = (offset, offset + self._left)
        if file.version.startswith(SINCE):
            options["if_unmodified_since"] = parsedate_to_datetime(file.version[len(SINCE) :])
        elif file.version:
            options["if_match"] = file.version
        result = obstore.get(store, key, options=options)
        self._check(file, result.meta)
        start, stop = result.range
        if start != offset or stop - start != self._left:
            raise by_status(self._asked, 416)
        return iter(result.stream(min_chunk_size=_PIECE))

    def _check(self, file: ManifestFile, meta: Any) -> None:
        """Servers that ignore conditions still say what they give."""
        if file.version.startswith(SINCE):
            now = version_of(None, modified_text(meta["last_modified"]))
        else:
            now = version_of(meta["e_tag"]) or file.version
        if meta["size"] != file.size or (file.version and now != file.version):
            raise by_status(self._asked, 412)
