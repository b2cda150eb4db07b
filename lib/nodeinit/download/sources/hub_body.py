"""The body of a hub's answer, read like a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.download.sources.hub_http import explaining

if TYPE_CHECKING:
    from nodeinit.download.sources.hub_http import Hub


@attrs.define
class Body:
    """Bytes of an answer, in pieces of the size that is asked for."""

    _chunks: Iterator[bytes]
    _hub: Hub
    _path: str
    _skip: int
    _left: int | None
    _held: bytes = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end. Raises `TemporaryError` when the line breaks."""
        while not self._held:
            chunk: Any
            with explaining(self._hub.ref, self._path, has_token=self._hub.token is not None):
                chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            dropped = min(self._skip, len(chunk))
            self._skip -= dropped
            self._held = chunk[dropped:]
        if self._left is not None:
            size = min(size, self._left)
        data, self._held = self._held[:size], self._held[size:]
        if self._left is not None:
            self._left -= len(data)
        return data


class Nothing:
    """A part without bytes."""

    def read(self, _size: int, /) -> bytes:
        """None."""
        return b""
