from __future__ import annotations

from pathlib import Path

import pytest

from nodeinit.config import LLMConfig
from nodeinit.config.parts import DownloadSettings
from nodeinit.download.fetch import bring
from nodeinit.download.reading import read_manifest
from nodeinit.download.store import published_path
from nodeinit.errors import PermanentError
from tests.download.trees import ALL, TOKENIZER, model, tensors, write_tree

UPLOAD = {
    "config.json": b"{}",
    "model.safetensors": tensors(b"1"),
    "pytorch_model.bin": b"\x80\x04",
    "original/consolidated.00.pth": b"\x80\x04",
    "modeling_own.py": b"import os",
    "vae/config.json": b"{}",
    "vae/diffusion.bin": b"\x80\x04",
}


@pytest.mark.parametrize("trust", [False, True])
def test_what_nobody_loads_is_left_out(
    tmp_path: Path, trust: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nodeinit.download.formats")
    source = write_tree(tmp_path / "model", UPLOAD)
    config = LLMConfig(
        model_id="org/model",
        model_source=str(source),
        engine_kwargs={"trust_remote_code": True} if trust else {},
        experimental_configs={"nodeinit": {"store": str(tmp_path / "store")}},
    )
    manifest = read_manifest(config)
    left = {"pytorch_model.bin", "original/consolidated.00.pth"} | (
        set() if trust else {"modeling_own.py"}
    )
    assert {file.path for file in manifest.files} == UPLOAD.keys() - left
    assert {line.split()[0] for line in caplog.messages} == left
    path = published_path(tmp_path / "store", manifest)
    with pytest.raises(
        PermanentError, match=r"^unsafe_format: vae/diffusion\.bin from .*allow_pickle: true"
    ):
        bring(manifest, ALL, path, name="job")
    assert not path.exists()
    assert bring(manifest, TOKENIZER, path, name="job").verified
    allowed = DownloadSettings(allow_pickle=True)
    assert bring(manifest, ALL, path, name="job", settings=allowed).verified


@pytest.mark.parametrize("name", ["a.bin", "b.pt", "c.pth", "d.ckpt", "sub/e.pkl"])
def test_every_pickle_must_be_allowed(tmp_path: Path, name: str) -> None:
    manifest = model(tmp_path / "model", {"config.json": b"{}", name: b"x"})
    with pytest.raises(PermanentError, match=r"^unsafe_format: "):
        bring(manifest, ALL, published_path(tmp_path / "store", manifest), name="job")
