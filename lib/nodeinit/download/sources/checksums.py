"""Checksums that a publisher lays beside the files of a model.

`SHA256SUMS`, as `sha256sum` writes it: a line `HEX  PATH` (or `HEX *PATH`) for each file, paths
below the directory that the file is in. Or `manifest.json`: a list of
`{"path": …, "size": …, "sha256": …}`, bare or under the key `files`; `size` may be left out where
there is a listing. A `manifest.json` of any other shape is a file of the model like every other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import attrs

from nodeinit.download.manifest import ManifestFile
from nodeinit.download.paths import check_relative
from nodeinit.errors import PermanentError

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
NAMES = (SUMS, MANIFEST)
"""Where checksums are looked for, in this order; the first that has some is taken."""

MOST_BYTES = 64 * 1024 * 1024
"""The largest file of checksums that is read."""

_LINE = re.compile(r"\\?([0-9A-Fa-f]{64}) [ *](.+)")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@attrs.frozen
class Sum:
    """What a publisher says of one file; `size` is `None` where he does not say it."""

    sha256: str
    size: int | None = None


def parsed(name: str, body: bytes, where: str) -> dict[str, Sum] | None:
    """The sums in a file called `name`, by path; `None` if it holds something else.

    Raises `PermanentError` for a file that is meant to hold sums and is spoilt, or names unsafe
    paths. `where` is what the file is called in messages.
    """
    if name == MANIFEST:
        return _of_json(body, where)
    return _of_lines(body, where)


def with_sums(
    files: Iterable[ManifestFile], sums: dict[str, Sum], where: str
) -> list[ManifestFile]:
    """The files with the sha256 that the publisher gives.

    Raises `PermanentError` if he names files that are not there or have another size.
    """
    found = {file.path: file for file in files}
    absent = sorted(set(sums) - set(found))
    if absent:
        raise PermanentError(
            f"not_found: {where} names {absent[0]!r}, which is not there"
            f"{f' (and {len(absent) - 1} more)' if absent[1:] else ''}; the model is not whole"
        )
    for path, one in sums.items():
        if one.size not in (None, found[path].size):
            raise PermanentError(
                f"corrupted: {where} says that {path!r} has {one.size} bytes, and it has "
                f"{found[path].size}; upload the model again"
            )
        found[path] = attrs.evolve(found[path], sha256=one.sha256)
    return list(found.values())


def md5_of(etag: str) -> str:
    """The MD5 that an ETag may be; empty for one that cannot be (a multipart upload's)."""
    bare = etag.strip('"')
    return bare if _MD5.fullmatch(bare) else ""


def _of_lines(body: bytes, where: str) -> dict[str, Sum]:
    found: dict[str, Sum] = {}
    for number, line in enumerate(_text(body, where).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or line.startswith("\\"):
            raise PermanentError(f"unsupported: line {number} of {where} is not 'SHA256  PATH'")
        path = match[2].removeprefix("./")
        _put(found, path, Sum(match[1].lower()), where)
    return found


def _of_json(body: bytes, where: str) -> dict[str, Sum] | None:
    try:
        raw: Any = json.loads(body)
    except ValueError:
        return None
    rows = raw.get("files") if isinstance(raw, dict) else raw
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    if not rows or not any("sha256" in row and "path" in row for row in rows):
        return None
    found: dict[str, Sum] = {}
    for row in rows:
        path, sha256, size = row.get("path"), row.get("sha256"), row.get("size")
        right = isinstance(path, str) and (sha256 is None or isinstance(sha256, str))
        if not right or (sha256 and not _SHA256.fullmatch(sha256)) or not _is_size(size):
            raise PermanentError(
                f"unsupported: an entry of {where} is not "
                '{"path": TEXT, "size": BYTES, "sha256": HEX}'
            )
        _put(found, path, Sum((sha256 or "").lower(), size), where)
    return found


def _put(found: dict[str, Sum], path: str, one: Sum, where: str) -> None:
    if path in found and found[path] != one:
        raise PermanentError(f"unsupported: {where} has two entries for {path!r}")
    found[check_relative(path)] = one


def _is_size(size: object) -> bool:
    return size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0)


def _text(body: bytes, where: str) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise PermanentError(f"unsupported: {where} is not UTF-8") from None
