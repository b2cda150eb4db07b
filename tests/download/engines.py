"""A store and a source in memory, for tests of how files are brought."""

from __future__ import annotations

import random
from pathlib import Path

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.fetch import FetchResult, bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import is_complete, published_path
from tests.download.memory import Memory, Trick, untouched
from tests.download.trees import ALL, published, staged, tensors

CHUNK = 1024
RANGE = 4096


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


FILES = {
    "config.json": b"{}",
    "tokenizer.json": noise(300, 1),
    "a.safetensors": tensors(noise(20_000, 2)),
    "b.safetensors": tensors(noise(9_000, 3)),
    "sub/c.dat": noise(CHUNK * 3, 4),
    "empty": b"",
}


@attrs.define
class Engine:
    """What is brought where; `manifest` is of `files` as they were at first."""

    root: Path
    source: Memory
    manifest: Manifest

    @classmethod
    def of(cls, root: Path, files: dict[str, bytes] = FILES, trick: Trick = untouched) -> Engine:
        source = Memory(dict(files), trick)
        return cls(root, source, source.manifest("memory://m", "org/model"))

    @property
    def path(self) -> Path:
        return published_path(self.root, self.manifest)

    def bring(self, concurrency: int = 4, stall: float = 60, **more: object) -> FetchResult:
        bandwidth = more.pop("bandwidth", None)
        settings = DownloadSettings(concurrency=concurrency, stall=stall, bandwidth=bandwidth)  # type: ignore[arg-type]
        return bring(
            self.manifest,
            ALL,
            self.path,
            name="job",
            source=self.source,
            settings=settings,
            **more,  # type: ignore[arg-type]
        )

    def holds(self, files: dict[str, bytes] = FILES) -> bool:
        """Whether all is published, right, and nothing else is left."""
        right = {name: data for name, (_, data) in published(self.path).items()} == files
        return right and is_complete(self.path, self.manifest, ALL) and staged(self.root) == []

    def holds_nothing(self) -> bool:
        return not self.path.exists() and staged(self.root) == []
