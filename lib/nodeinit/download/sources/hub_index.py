"""What a hub said before: which commit a name meant, and which files a commit has.

A commit never changes, so its listing is never asked for twice. Names are remembered only to be
used offline. Nothing secret is written; if it cannot be read or written, the hub is asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs

from nodeinit.download.manifest import ManifestFile
from nodeinit.download.paths import check_paths
from nodeinit.download.sources.hub_names import HubRef, is_commit
from nodeinit.errors import PermanentError

_FORMAT = 1


@attrs.frozen
class HubIndex:
    """Kept as JSON in `folder`; `None` keeps nothing."""

    folder: Path | None

    def commit(self, ref: HubRef) -> str | None:
        """The commit that a reference meant when it was last looked up."""
        found = self._read(self._file(ref, "ref", ref.revision))
        commit = found.get("commit")
        return commit if is_commit(commit) else None

    def remember_commit(self, ref: HubRef, commit: str) -> None:
        """From now on `ref` meant `commit`."""
        known = {"repo": ref.repo, "revision": ref.revision, "commit": commit}
        self._write(self._file(ref, "ref", ref.revision), known)

    def files(self, ref: HubRef, commit: str) -> tuple[ManifestFile, ...] | None:
        """The files of a commit, if it was listed before."""
        found = self._read(self._file(ref, "files", commit))
        try:
            files = tuple(
                ManifestFile(str(path), int(size), str(sha256), digest=str(digest))
                for path, size, sha256, digest in found["files"]
            )
            check_paths(file.path for file in files)
        except (KeyError, TypeError, ValueError, PermanentError):
            return None
        return files or None

    def remember_files(self, ref: HubRef, commit: str, files: tuple[ManifestFile, ...]) -> None:
        """From now on the listing of `commit` is known."""
        entries = [[file.path, file.size, file.sha256, file.digest] for file in files]
        self._write(self._file(ref, "files", commit), {"repo": ref.repo, "files": entries})

    def _file(self, ref: HubRef, kind: str, name: str) -> Path | None:
        if self.folder is None:
            return None
        key = json.dumps([ref.endpoint, ref.repo, name]).encode()
        return self.folder / f"hub-{kind}-{hashlib.sha256(key).hexdigest()[:32]}.json"

    def _read(self, file: Path | None) -> dict[str, Any]:
        if file is None:
            return {}
        try:
            found = json.loads(file.read_bytes())
            return found if found["format"] == _FORMAT else {}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def _write(self, file: Path | None, known: dict[str, Any]) -> None:
        if file is None:
            return
        temporary = file.with_name(f".{file.name}.{uuid4().hex}")
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"format": _FORMAT, **known}), encoding="utf-8")
            temporary.replace(file)
