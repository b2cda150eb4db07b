from __future__ import annotations

import hashlib
import json
import math
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nodeinit.download.fetch import bring
from nodeinit.download.sources.local import LocalSource
from nodeinit.download.store import published_path
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.download.tiny_tokenizer import BOS, EOS, vocabulary_size
from nodeinit.errors import PermanentError
from tests.download.trees import ALL, TOKENIZER, published


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def load(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text(encoding="utf-8"))


def test_its_bytes_never_change(tiny: Path, tmp_path: Path) -> None:
    before = contents(tiny)
    inodes = {file.name: file.stat().st_ino for file in tiny.iterdir()}
    assert make_tiny_model(tiny) == tiny
    assert {file.name: file.stat().st_ino for file in tiny.iterdir()} == inodes
    other = make_tiny_model(tmp_path / "deep" / "other")
    assert contents(other) == before
    assert 500_000 < sum(len(data) for data in before.values()) < 1_000_000
    # Made on other machines it has these digests too; a change here changes every revision.
    weights = b"".join(before[name] for name in sorted(before) if name.endswith(".safetensors"))
    assert hashlib.sha256(weights).hexdigest()[:16] == "57250d86187f7443"


def test_it_is_written_at_once_also_by_several(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make_tiny_model, [tmp_path / "tiny"] * 4))
    assert made == [tmp_path / "tiny"] * 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]


def test_it_overwrites_nothing(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("mine")
    with pytest.raises(PermanentError, match="holds something else"):
        make_tiny_model(tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"config.json": b"mine"}
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match="cannot write"):
        make_tiny_model(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert contents(make_tiny_model(tmp_path / "empty")) == contents(tiny)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty", "file", "mine"]


def safetensors(file: Path) -> dict[str, tuple[list[int], bytes]]:
    """Shapes and bytes of the tensors of a file, with all that the format demands checked."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"}
    body = data[8 + length :]
    end = 0
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        assert start == end, "no holes"
        end = stop
        assert entry["dtype"] == "BF16"
        assert stop - start == 2 * math.prod(entry["shape"])
        tensors[name] = entry["shape"], body[start:stop]
    assert end == len(body)
    return tensors


def test_its_weights_are_those_of_its_config(tiny: Path) -> None:
    config = load(tiny, "config.json")
    index = load(tiny, "model.safetensors.index.json")
    hidden, inner, vocabulary = 128, config["intermediate_size"], config["vocab_size"]
    assert config["hidden_size"] == hidden
    expected = {
        "model.embed_tokens.weight": [vocabulary, hidden],
        "lm_head.weight": [vocabulary, hidden],
        "model.norm.weight": [hidden],
    }
    for layer in range(config["num_hidden_layers"]):
        for name, shape in {
            "input_layernorm": [hidden],
            "post_attention_layernorm": [hidden],
            "self_attn.q_proj": [hidden, hidden],
            "self_attn.k_proj": [hidden, hidden],
            "self_attn.v_proj": [hidden, hidden],
            "self_attn.o_proj": [hidden, hidden],
            "mlp.gate_proj": [inner, hidden],
            "mlp.up_proj": [inner, hidden],
            "mlp.down_proj": [hidden, inner],
        }.items():
            expected[f"model.layers.{layer}.{name}.weight"] = shape
    tensors: dict[str, tuple[list[int], bytes]] = {}
    for shard in sorted(tiny.glob("*.safetensors")):
        held = safetensors(shard)
        assert {index["weight_map"][name] for name in held} == {shard.name}
        tensors |= held
    assert {name: shape for name, (shape, _) in tensors.items()} == expected
    assert set(index["weight_map"]) == set(expected)
    assert index["metadata"]["total_size"] == sum(len(data) for _, data in tensors.values())
    (values,) = [floats(data) for name, (_, data) in tensors.items() if name == "lm_head.weight"]
    assert abs(sum(values) / len(values)) < 0.005
    assert 0.015 < math.sqrt(sum(value**2 for value in values) / len(values)) < 0.025
    assert set(floats(tensors["model.norm.weight"][1])) == {1.0}


def floats(data: bytes) -> list[float]:
    """The numbers of bfloat16 data."""
    return [struct.unpack("<f", b"\0\0" + data[at : at + 2])[0] for at in range(0, len(data), 2)]


def test_its_tokenizer_knows_every_byte_and_every_id(tiny: Path) -> None:
    tokenizer = load(tiny, "tokenizer.json")
    vocabulary = tokenizer["model"]["vocab"]
    special = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    ids = sorted([*vocabulary.values(), *special.values()])
    assert ids == list(range(load(tiny, "config.json")["vocab_size"]))
    assert vocabulary_size() == len(ids)
    for left, right in tokenizer["model"]["merges"]:
        assert left in vocabulary
        assert right in vocabulary
        assert vocabulary[left + right] > max(vocabulary[left], vocabulary[right])
    assert all(vocabulary[chr(byte)] == byte for byte in b"Az09~!")
    assert vocabulary["Ġ"] == ord(" ")
    assert vocabulary["Ċ"] == ord("\n")
    config = load(tiny, "tokenizer_config.json")
    assert special[config["bos_token"]] == BOS == load(tiny, "config.json")["bos_token_id"]
    assert (
        special[config["eos_token"]] == EOS == load(tiny, "generation_config.json")["eos_token_id"]
    )
    assert "<|im_start|>" in config["chat_template"]


def test_it_is_a_model_that_can_be_brought(tiny: Path, tmp_path: Path) -> None:
    manifest = LocalSource().manifest(str(tiny), "tiny")
    path = published_path(tmp_path, manifest)
    assert bring(manifest, TOKENIZER, path, name="job").files == 5
    assert bring(manifest, ALL, path, name="job").files == 8
    assert {name: data for name, (_, data) in published(path).items()} == contents(tiny)
