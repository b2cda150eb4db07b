"""What the tests of the hub's source share: a hub, a source that talks to it, a usual model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download.fetch import FetchResult, bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.sources.hub import HubSource
from nodeinit.download.store import published_path
from tests.download.servers.hub import HubServer
from tests.download.trees import ALL, published


def weights(data: bytes) -> bytes:
    """A file in safetensors format with one tensor."""
    tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"tensor": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + data


TOKEN = "hf_goodgoodgoodgood1"
REPO = "org/model"
MODEL = {
    "README.md": b"# A model\n",
    "config.json": b"{}",
    "tokenizer.json": b"[1, 2, 3]",
    "sub/a b#c.txt": b"odd name",
    "model.safetensors": weights(random.Random(7).randbytes(300_000)),
}


@attrs.frozen
class World:
    """A hub, and a host with a store that knows no other hub."""

    hub: HubServer
    root: Path
    env: dict[str, str]
    settings: DownloadSettings = attrs.field(factory=DownloadSettings)

    @property
    def source(self) -> HubSource:
        return HubSource(self.settings, self.env)

    @property
    def store(self) -> Path:
        return self.root / "store"

    def with_env(self, **variables: str) -> World:
        return attrs.evolve(self, env={**self.env, **variables})

    def manifest(self, ref: str = REPO, **options: bool) -> Manifest:
        return self.source.manifest(ref, "org/model", index=self.root / "index", **options)

    def bring(
        self, manifest: Manifest | None = None, mode: NodeModelDownloadable = ALL, **options: object
    ) -> FetchResult:
        made = manifest or self.manifest()
        path = published_path(self.store, made)
        return bring(made, mode, path, name="job", source=self.source, **options)  # type: ignore[arg-type]

    def bytes_at(self, path: str) -> dict[str, bytes]:
        return {name: data for name, (_, data) in published(Path(path)).items()}


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> Iterator[World]:
    with HubServer(tmp_path / "hub") as hub:
        # The file of a token that the machine may have is not to be found.
        # Nor the cache that it may have.
        env = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "HF_HOME": str(tmp_path / "hf"),
        }
        yield World(hub, tmp_path, env)
