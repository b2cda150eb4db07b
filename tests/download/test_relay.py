from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from nodeinit.download.disk import READ_ONLY
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.store import is_complete, published_path
from nodeinit.download.watch import Watch
from tests.download.trees import ALL, MODEL, NO_WEIGHTS, Faulty, model


@attrs.define
class Neighbour:
    """Brings some files from memory, and notes what it is told."""

    gives: dict[str, bytes]
    told: list[str] = attrs.field(factory=list)

    def bring(
        self, ref: str, files: Sequence[ManifestFile], directory: Path, watch: Watch
    ) -> list[ManifestFile]:
        brought = [file for file in files if file.path in self.gives]
        for file in brought:
            target = directory / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.gives[file.path])
            target.chmod(READ_ONLY)
        return brought

    def finished(self, file: ManifestFile, path: Path) -> None:
        assert path.stat().st_size == file.size
        self.told.append(file.path)


def test_a_relay_is_asked_first_and_told_of_every_file(tmp_path: Path) -> None:
    manifest = model(tmp_path / "source")
    path = published_path(tmp_path / "store", manifest)
    source = Faulty()
    first = Neighbour({})
    bring(manifest, NO_WEIGHTS, path, name="a", source=source, relay=first)
    assert len(first.told) == len(manifest.select(NO_WEIGHTS))
    assert source.opened == len(first.told) - 1, "the empty file need not be asked for"
    second = Neighbour(MODEL)
    bring(manifest, ALL, path, name="b", source=source, relay=second)
    assert source.opened == len(first.told) - 1, "all else came from the relay"
    assert sorted(second.told) == [file.path for file in manifest.files]
    assert is_complete(path, manifest, ALL)
