"""What must be on a host before a worker may start: relative paths, sizes and digests.

A manifest is computed once, from the source, and is the same for every host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import attrs

from nodeinit.context import NodeModelDownloadable


@attrs.frozen(order=True)
class ManifestFile:
    """One file: `path` below the model's directory with `/`, `size` in bytes, hex `sha256`."""

    path: str
    size: int
    sha256: str


def _sorted(files: Iterable[ManifestFile]) -> tuple[ManifestFile, ...]:
    return tuple(sorted(files))


@attrs.frozen
class Manifest:
    """All files of one revision of a model, sorted by path."""

    model_id: str
    source: str
    files: tuple[ManifestFile, ...] = attrs.field(converter=_sorted)

    @property
    def revision(self) -> str:
        """A name for exactly these bytes: the sha256 over paths, sizes and digests (16 hex digits).

        It does not depend on where the bytes came from, so the same files are the same revision.
        """
        listing = json.dumps([[f.path, f.size, f.sha256] for f in self.files]).encode()
        return hashlib.sha256(listing).hexdigest()[:16]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def select(self, mode: NodeModelDownloadable) -> tuple[ManifestFile, ...]:
        """The files that a host needs under a download mode."""
        return tuple(file for file in self.files if wanted(file.path, mode))


_TOKENIZER_NAMES = (
    "tokenizer",
    "special_tokens_map",
    "added_tokens",
    "vocab",
    "merges",
    "chat_template",
)


def wanted(path: str, mode: NodeModelDownloadable) -> bool:
    """Whether a file belongs to a download mode.

    `TOKENIZER_ONLY` takes the tokenizer's files and the JSON, model and text files beside them that
    transformers reads to build a tokenizer (`config.json` among them); `EXCLUDE_SAFETENSORS` is for
    engines that stream weights themselves.
    """
    name = path.rsplit("/", 1)[-1]
    match mode:
        case NodeModelDownloadable.NONE:
            return False
        case NodeModelDownloadable.MODEL_AND_TOKENIZER:
            return True
        case NodeModelDownloadable.EXCLUDE_SAFETENSORS:
            return not name.endswith(".safetensors")
        case NodeModelDownloadable.TOKENIZER_ONLY:
            if name.endswith(".index.json"):
                return False
            return name.startswith(_TOKENIZER_NAMES) or name.endswith(
                (".json", ".model", ".txt", ".jinja")
            )


def total_size(files: Iterable[ManifestFile]) -> int:
    """Bytes of some files."""
    return sum(file.size for file in files)
