"""Directories of files to serve, and a source that fails on demand."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import attrs
from hypothesis import strategies as st

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.paths import check_paths
from nodeinit.download.sources.local import LocalSource
from nodeinit.download.store import is_complete, verify
from nodeinit.errors import PermanentError

ALL = NodeModelDownloadable.MODEL_AND_TOKENIZER
TOKENIZER = NodeModelDownloadable.TOKENIZER_ONLY
NO_WEIGHTS = NodeModelDownloadable.EXCLUDE_SAFETENSORS
NONE = NodeModelDownloadable.NONE


def tensors(data: bytes) -> bytes:
    """A file in safetensors format with one tensor of these bytes."""
    place = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"tensor": place}).encode()
    return len(header).to_bytes(8, "little") + header + data


MODEL = {
    "config.json": b"{}",
    "tokenizer.json": b"[1, 2, 3]",
    "model.safetensors": tensors(bytes(range(256)) * 40),
    "sub/extra.dat": b"",
}


def write_tree(directory: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def model(directory: Path, files: dict[str, bytes] = MODEL) -> Manifest:
    """A written tree and its manifest."""
    return LocalSource().manifest(str(write_tree(directory, files)), "org/model")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: these tests sync a lot."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def published(path: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and bytes of every file of a published model, its markers left aside."""
    return {
        str(file.relative_to(path)): (file.stat().st_ino, file.read_bytes())
        for file in sorted(path.rglob("*"))
        if file.is_file() and ".nodeinit" not in file.parts
    }


def staged(root: Path) -> list[str]:
    area = root / ".nodeinit" / "staging"
    return sorted(entry.name for entry in area.rglob("*")) if area.exists() else []


def assert_honest(path: Path, manifest: Manifest) -> None:
    """Whatever is called complete is complete, byte by byte."""
    for mode in NodeModelDownloadable:
        if is_complete(path, manifest, mode):
            assert verify(path, manifest, mode, rehash=True) == ()


@attrs.define
class Faulty:
    """A local source that fails once `after` bytes were read: `eio`, `flip`, `noise`, `short` or
    `long`. What is not `persistent` strikes once; `noise` is never the same twice."""

    fault: str = ""
    after: int = 0
    passed: int = 0
    opened: int = 0
    struck: bool = False
    persistent: bool = False
    noise: int = 0
    on_open: Callable[[], None] = lambda: None
    served: Callable[[int], None] = lambda count: None

    def manifest(self, ref: str, model_id: str, **options: object) -> Manifest:
        return LocalSource().manifest(ref, model_id)

    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> contextlib.AbstractContextManager[_Reader]:
        self.opened += 1
        self.on_open()
        return contextlib.closing(_Reader(self, LocalSource().open(ref, file, offset)))

    def strike(self, chunk: bytes) -> bytes:
        self.passed += len(chunk)
        self.served(len(chunk))
        if not self.fault or self.passed <= self.after or (self.struck and not self.persistent):
            return chunk
        if self.fault == "eio":
            self.struck = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not chunk and self.fault != "long":
            return chunk
        self.struck = True
        if self.fault == "noise":
            self.noise = self.noise % 255 + 1
            return bytes([chunk[0] ^ self.noise]) + chunk[1:]
        if self.fault == "flip":
            return bytes([chunk[0] ^ 1]) + chunk[1:]
        return chunk[:-1] if self.fault == "short" else chunk + b"!"


@attrs.define
class _Reader:
    source: Faulty
    file: BinaryIO

    def read(self, size: int, /) -> bytes:
        return self.source.strike(self.file.read(size))

    def close(self) -> None:
        self.file.close()


_NAMES = st.one_of(
    st.sampled_from(
        ["config.json", "tokenizer.json", "a.safetensors", "b.safetensors", "vocab.txt", "x.dat"]
    ),
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="/\\~"),
        min_size=1,
        max_size=12,
    ).filter(lambda name: name not in (".", "..") and not name.endswith((".incomplete", ".json"))),
)


def _real(files: dict[str, bytes]) -> dict[str, bytes]:
    return {
        path: tensors(data) if path.endswith(".safetensors") else data
        for path, data in files.items()
    }


def _can_be_written(files: dict[str, bytes]) -> bool:
    try:
        check_paths(files)
    except PermanentError:
        return False
    return not any(part.startswith(".") for path in files for part in path.split("/"))


PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
TREES = (
    st.dictionaries(PATHS, st.binary(max_size=700), max_size=5)
    .map(lambda files: {"config.json": b"{}"} | files)
    .filter(_can_be_written)
    .map(_real)
)
"""Trees with at least one file for every mode."""
