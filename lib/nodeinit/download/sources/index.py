"""Remembers the sha256 of files that did not change, so that a second start need not read them.

A digest is believed only for the same path, inode, size, modification and change time. Like git's
index it does not remember files that changed so recently that the next change could bear the same
time stamps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

Stamp: TypeAlias = tuple[int, int, int, int]
"""Inode, size, mtime_ns, ctime_ns. No device: a network file system has another at each mount."""

_SETTLED_NS = 3_000_000_000  # the coarsest time stamps in use are 2 s (FAT)


def stamp_of(stat: os.stat_result) -> Stamp:
    """What identifies the bytes of a file without reading them."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class DigestIndex:
    """The digests of one directory's files, kept as JSON in `folder`; `None` keeps nothing.

    The index only saves time: if it cannot be read or written the files are hashed again.
    """

    def __init__(self, folder: Path | None, directory: Path) -> None:
        name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        self._now = None if folder is None else _now(folder)
        self._file = None if folder is None else folder / f"{name}.json"
        self._known = self._load()
        self._seen: dict[str, tuple[Stamp, str]] = {}

    def get(self, path: str, stamp: Stamp) -> str | None:
        """The digest of the file at `path`, if it is the file that was hashed."""
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == stamp else None

    def put(self, path: str, stamp: Stamp, sha256: str) -> None:
        """Remember from the next `save` on a digest that was taken after this index was made."""
        if self._now is not None and self._now - max(stamp[2:]) >= _SETTLED_NS:
            self._seen[path] = (stamp, sha256)

    def save(self) -> None:
        """Replace the index by what was put. Files that were not put are forgotten."""
        if self._file is None or self._seen == self._known:
            return
        temporary = self._file.with_name(f".{self._file.name}.{uuid4().hex}")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(self._seen), encoding="utf-8")
            temporary.replace(self._file)

    def _load(self) -> dict[str, tuple[Stamp, str]]:
        if self._file is None:
            return {}
        try:
            raw = json.loads(self._file.read_bytes())
            return {
                str(path): ((int(a), int(b), int(c), int(d)), str(sha256))
                for path, ((a, b, c, d), sha256) in raw.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _now(folder: Path) -> int | None:
    """The clock that stamps files in `folder`, in ns; `None` if nothing can be written there."""
    probe = folder / f".now.{uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        try:
            return probe.stat().st_mtime_ns
        finally:
            probe.unlink()
    except OSError:
        return None
