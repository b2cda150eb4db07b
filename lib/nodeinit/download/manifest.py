"""What must be on a host before a worker may start: relative paths, sizes and digests.

A manifest is computed once, from the source, and is the same for every host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property

import attrs

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.modes import wanted


@attrs.frozen(order=True)
class ManifestFile:
    """One file of a model.

    `path` is below the model's directory, with `/`; `size` is in bytes. `sha256` (hex) is empty
    where the source does not give one: then what tells one version from another is `version`, which
    the source calls exactly these bytes (a strong ETag, a generation) and under which every range
    is read, and `digest`, another checksum that the source gives (`git-sha1:…`, `crc32c:…`,
    `md5:…`, `crc32:…`, `crc64nvme:…`), both empty where there is none. `key` is the file's name at
    the source where it is not `path`.
    """

    path: str
    size: int
    sha256: str = ""
    version: str = ""
    digest: str = ""
    key: str = ""

    @property
    def name_of_bytes(self) -> str:
        """What tells these bytes from any others where there is no sha256.

        A CRC finds damage, but is too short to be a name: different bytes may well have the same.
        """
        if self.digest.startswith("crc"):
            return self.version or self.digest
        return self.digest or self.version


@attrs.frozen
class Extra:
    """Files beside the model, brought along to a place of their own: a compile cache, an adapter.

    `destination` is a directory on every host (`~` is the home of the user there).
    """

    destination: str
    manifest: Manifest


def _sorted(files: Iterable[ManifestFile]) -> tuple[ManifestFile, ...]:
    return tuple(sorted(files, key=lambda file: file.path))


@attrs.frozen
class Manifest:
    """All files of one revision of a model, sorted by path.

    `source` is a reference that is good on every host, pinned to the revision where the source has
    such a thing (a commit), and without secrets.
    """

    model_id: str
    source: str
    files: tuple[ManifestFile, ...] = attrs.field(converter=_sorted)
    extras: tuple[Extra, ...] = ()

    @cached_property
    def revision(self) -> str:
        """A name for exactly these bytes: the sha256 over paths, sizes and digests (16 hex digits).

        It does not depend on where the bytes came from, so the same files are the same revision,
        as far as the source gives digests; where it does not, its own versions stand for them.
        """
        known = [[f.path, f.size, f.sha256 or f.name_of_bytes] for f in self.files]
        listing = json.dumps(known).encode()
        return hashlib.sha256(listing).hexdigest()[:16]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def select(self, mode: NodeModelDownloadable) -> tuple[ManifestFile, ...]:
        """The files that a host needs under a download mode."""
        return tuple(file for file in self.files if wanted(file.path, mode))


def total_size(files: Iterable[ManifestFile]) -> int:
    """Bytes of some files."""
    return sum(file.size for file in files)
