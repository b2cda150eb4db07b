"""Which names a file of a model may have, checked where a name is read and again where it is used.

A name comes from a source, and a source may be hostile or sloppy: `../../etc/passwd` is a valid key
of an object store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from nodeinit.errors import PermanentError

META = ".nodeinit"
"""The name of nodeinit's own directory, inside a published model and inside a store's root."""

_NAME_BYTES = 255  # NAME_MAX of every common Linux file system
_PATH_BYTES = 2048  # leaves room for the store's own directories below PATH_MAX
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def check_relative(path: str) -> str:
    """`path` itself if it is safe below any directory: plain parts, joined by `/`.

    Raises `PermanentError` (`unsafe_path: …`) for an absolute path, `..`, `.`, an empty part, a
    backslash, a control character (NUL among them), text that is not UTF-8, a part of more than 255
    bytes, and for `.nodeinit`, which is ours.
    """
    problem = _problem(path)
    if problem:
        raise PermanentError(
            f"unsafe_path: {path!r} {problem}; rename this file in the model's source"
        )
    return path


def check_paths(paths: Iterable[str]) -> None:
    """`check_relative` for every path, and that all of them can live in one directory together.

    Raises `PermanentError` for two paths that differ by case alone (they are one file on some file
    systems), for the same path twice, and for a file that another path uses as a directory.
    """
    spelled: dict[str, str] = {}
    files: set[str] = set()
    for path in sorted(paths):
        check_relative(path)
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            prefix = "/".join(parts[:end])
            known = spelled.setdefault(prefix.casefold(), prefix)
            if known != prefix:
                raise PermanentError(
                    f"unsafe_path: {known!r} and {prefix!r} differ by case alone; "
                    "rename one of them in the model's source"
                )
            if prefix in files:
                what = "is listed twice" if prefix == path else f"is also a directory of {path!r}"
                raise PermanentError(f"unsafe_path: the file {prefix!r} {what}")
        files.add(path)


def safe_name(text: str) -> str:
    """One file name for any text: `org/name` becomes `org--name`, what is not plain becomes `-`.

    A text that loses something by that gets a digest of itself at the end, so that two different
    texts do not share a name.
    """
    name = _UNSAFE.sub("-", text.replace("/", "--"))
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?", text)
    if plain and "--" not in text and len(name) <= 100:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{name[:100].lstrip('.-') or 'model'}-{digest}"


def _problem(path: str) -> str | None:
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    parts = path.split("/")
    if path.startswith("/"):
        return "is absolute"
    if "\\" in path:
        return "has a backslash"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "has a control character"
    if "" in parts:
        return "has an empty part"
    if ".." in parts or "." in parts:
        return "has a part '.' or '..'"
    if parts[0].casefold() == META:
        return f"is below {META}, which nodeinit keeps for itself"
    if len(encoded) > _PATH_BYTES:
        return f"has {len(encoded)} bytes; {_PATH_BYTES} is the most"
    longest = max(len(part.encode("utf-8")) for part in parts)
    if longest > _NAME_BYTES:
        return f"has a part of {longest} bytes; {_NAME_BYTES} is the most"
    return None
