from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodeinit.download.fetch import bring
from nodeinit.download.store import is_complete, published_path
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.trees import ALL, NO_WEIGHTS, TOKENIZER, Faulty, model, staged, tensors


def index(*names: str) -> bytes:
    return json.dumps({"weight_map": {f"tensor-{name}": name for name in names}}).encode()


@pytest.mark.parametrize("folder", ["", "sub/"])
def test_a_model_without_all_its_shards_is_refused(tmp_path: Path, folder: str) -> None:
    files = {
        "config.json": b"{}",
        f"{folder}model.safetensors.index.json": index("1.safetensors", "2.safetensors"),
        f"{folder}1.safetensors": tensors(b"1"),
    }
    manifest = model(tmp_path / "model", files)
    path = published_path(tmp_path / "store", manifest)
    with pytest.raises(PermanentError, match=rf"{folder}2\.safetensors.*\(1 of 2 weight files"):
        bring(manifest, ALL, path, name="job")
    assert staged(tmp_path / "store") == []
    for mode in (TOKENIZER, NO_WEIGHTS):  # a host that streams its weights needs no shard
        assert bring(manifest, mode, path, name="job").verified

    whole = model(tmp_path / "model", {f"{folder}2.safetensors": tensors(b"2")})
    path = published_path(tmp_path / "store", whole)
    bring(whole, ALL, path, name="job")
    assert is_complete(path, whole, ALL)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"weight_map": 1}', b"\xff"])
def test_an_index_that_cannot_be_read_is_refused(tmp_path: Path, data: bytes) -> None:
    manifest = model(tmp_path / "model", {"model.safetensors.index.json": data})
    with pytest.raises(PermanentError, match="is not the index of a model"):
        bring(manifest, ALL, published_path(tmp_path / "store", manifest), name="job")


@pytest.mark.parametrize("fault", ["flip", "noise"])
def test_an_index_that_arrives_damaged_is_read_again(tmp_path: Path, fault: str) -> None:
    names = {"model.safetensors.index.json": index("1.safetensors"), "1.safetensors": tensors(b"1")}
    manifest = model(tmp_path / "model", names)
    path = published_path(tmp_path / "store", manifest)
    if fault == "flip":
        assert bring(manifest, ALL, path, name="job", source=Faulty("flip")).verified
        return
    with pytest.raises(TemporaryError, match=r"^corrupted: model\.safetensors\.index\.json "):
        bring(manifest, ALL, path, name="job", source=Faulty(fault, persistent=True))
    (tmp_path / "model" / "model.safetensors.index.json").write_bytes(index("2.safetensors"))
    with pytest.raises(PermanentError, match=r"^changed: model\.safetensors\.index\.json "):
        bring(manifest, ALL, path, name="job")
