"""Whether a file is what its name says: tensors in safetensors format, whole, and nothing else.

Format: 8 bytes (little-endian) with the length of the header, the header in JSON, the tensors one
after the other without holes. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUFFIX = ".safetensors"

_LONGEST = 100_000_000  # bytes; what the reference implementation accepts
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def problem_of(path: Path) -> str | None:
    """What is wrong with the form of a file, if its name says that it is of this one."""
    if not path.name.endswith(SUFFIX):
        return None
    with path.open("rb") as reader:

        def read(begin: int, count: int) -> bytes:
            reader.seek(begin)
            return reader.read(count)

        return check_header(path.stat().st_size, read)


def check_header(size: int, read: Callable[[int, int], bytes]) -> str | None:
    """What is wrong with a file of `size` bytes; `read(begin, count)` gives some of them."""
    if size < 8:
        return f"it has only {size} bytes"
    length = int.from_bytes(read(0, 8), "little")
    if length > min(_LONGEST, size - 8):
        return f"its header says to be {length} bytes long"
    try:
        header = json.loads(read(8, length))
        if not isinstance(header, dict):
            return "its header is not a mapping"
        return _hole(header, size - 8 - length)
    except (ValueError, RecursionError):
        return "its header is not JSON"
    except (KeyError, TypeError):
        return "its header does not say type, shape and place of each tensor"


def _hole(header: dict[str, Any], size: int) -> str | None:
    """What is wrong with the places of the tensors in `size` bytes of data."""
    places = []
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = map(_count, tensor["data_offsets"])
        bits = _BITS.get(tensor["dtype"])
        elements = math.prod(map(_count, tensor["shape"]))
        if bits is not None and -(-elements * bits // 8) != end - begin:
            return f"tensor {name[:80]!r} has {end - begin} bytes, which is not its shape"
        places.append((begin, end))
    reached = 0
    for begin, end in sorted(places):
        if begin != reached or end < begin:
            return f"its tensors leave a hole or overlap at byte {reached} of the data"
        reached = end
    return None if reached == size else f"its tensors take {reached} bytes and it has {size}"


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
