"""What a bucket or a web server held when it was last asked: for starts that are offline, or warm.

Nothing secret is written. If it cannot be read or written, the source is asked for everything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from uuid import uuid4

import attrs

from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.paths import check_paths
from nodeinit.errors import PermanentError

_FORMAT = 1


@attrs.frozen
class Memory:
    """The files of one source, kept as JSON in `folder`; `None` keeps nothing.

    `name` tells sources apart: the server, and the reference there.
    """

    folder: Path | None
    name: str

    def manifest(self, model_id: str) -> Manifest | None:
        """What the source had; `None` if that is not known."""
        if self.folder is None:
            return None
        try:
            found = json.loads(self._file(self.folder).read_bytes())
            if found["format"] != _FORMAT or found["name"] != self.name:
                return None
            files = tuple(
                ManifestFile(str(path), int(size), str(sha256), str(version), str(digest))
                for path, size, sha256, version, digest in found["files"]
            )
            check_paths(file.path for file in files)
            return Manifest(model_id, str(found["source"]), files) if files else None
        except (OSError, ValueError, TypeError, KeyError, PermanentError):
            return None

    def remember(self, manifest: Manifest) -> Manifest:
        """From now on the source had these files; the manifest itself."""
        if self.folder is None:
            return manifest
        rows = [[f.path, f.size, f.sha256, f.version, f.digest] for f in manifest.files]
        known = {
            "format": _FORMAT,
            "name": self.name,
            "source": manifest.source,
            "files": rows,
        }
        file = self._file(self.folder)
        temporary = file.with_name(f".{file.name}.{uuid4().hex}")
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(known), encoding="utf-8")
            temporary.replace(file)
        return manifest

    def offline(self, model_id: str) -> Manifest:
        """What the source had, asking nobody. Raises `PermanentError` if it is not known."""
        known = self.manifest(model_id)
        if known is not None:
            return known
        raise PermanentError(
            f"unavailable: {self.name} was not read before with this store, and offline nobody is "
            "asked; start once online, or unset experimental_configs.nodeinit.download.offline"
        )

    def _file(self, folder: Path) -> Path:
        return folder / f"source-{hashlib.sha256(self.name.encode()).hexdigest()[:32]}.json"


def unchanged(known: Manifest | None, now: Manifest) -> Manifest | None:
    """What is known, digests and all, if `now` shows the same versions of the same files."""

    def looks(manifest: Manifest) -> list[tuple[str, int, str]]:
        return [(file.path, file.size, file.version) for file in manifest.files]

    if known is None or not all(file.version for file in now.files) or looks(known) != looks(now):
        return None
    return known
