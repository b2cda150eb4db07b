"""The CRCs by which object stores know their objects. They find what chance does to bytes.

`crc32` is in the standard library, `crc32c` in `google-crc32c`; `crc64nvme`, which AWS takes where an
uploader names no other, needs `awscrt` and is passed over without it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module

_Step = Callable[[bytes | memoryview, int], int]


class Crc:
    """A CRC of bytes in order, to be used as a hash of `hashlib` is."""

    def __init__(self, step: _Step, size: int) -> None:
        """`step` goes on from a value with more bytes; the digest has `size` bytes."""
        self._step = step
        self._size = size
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        """The CRC of all bytes so far, as stores write it: the highest byte first."""
        return self._value.to_bytes(self._size, "big")

    def hexdigest(self) -> str:
        """The same in hex."""
        return self.digest().hex()


def crc(kind: str) -> Crc | None:
    """A new CRC of a kind; `None` if this host cannot compute it as fast as bytes come."""
    step = step_of(kind)
    return None if step is None else Crc(step, 8 if kind == "crc64nvme" else 4)


@cache
def step_of(kind: str) -> _Step | None:
    """What goes on from a value with more bytes, in compiled code; `None` if this host has it not."""
    if kind == "crc32":
        return zlib.crc32
    try:
        if kind == "crc32c":
            library = import_module("google_crc32c")
            if library.implementation != "c":
                return None
            # It takes nothing that could change: the copy costs less than any other CRC.
            return lambda data, value: int(library.extend(value, bytes(data)))
        if kind == "crc64nvme":
            step: _Step = import_module("awscrt.checksums").crc64nvme
            return step
    except (ImportError, AttributeError):
        pass
    return None
