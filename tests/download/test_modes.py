"""The download modes: Ray's own meaning, held against names that models really have."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.fetch import bring
from nodeinit.download.modes import listed, wanted
from nodeinit.download.store import published_path
from nodeinit.errors import PermanentError
from tests.download.trees import ALL, NO_WEIGHTS, NONE, TOKENIZER, model

LLAMA = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "chat_template.jinja", "README.md", "LICENSE"),
    *("model.safetensors.index.json", "model-00001-of-00002.safetensors"),
    "model-00002-of-00002.safetensors",
)
OLDER = (
    *("config.json", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
    *("qwen.tiktoken", "tokenization_qwen.py", "configuration_qwen.py", "pytorch_model.bin"),
    *("pytorch_model.bin.index.json", "old/adapter_config.json.bak", "tokenizer_test/x.bin"),
    *("tokenizer/vocab.txt", "tokenizer.safetensors"),
)


def ray_wants(path: str, mode: NodeModelDownloadable) -> bool:
    """What Ray 2.60 does (`CloudFileSystem.download_model`)."""
    if mode is TOKENIZER:
        return any(part in path for part in ("tokenizer", "config.json", "chat_template"))
    return mode is ALL or (mode is NO_WEIGHTS and not path.endswith(".safetensors"))


@pytest.mark.parametrize("mode", list(NodeModelDownloadable))
@pytest.mark.parametrize("path", LLAMA)
def test_a_common_model_is_divided_as_ray_divides_it(
    path: str, mode: NodeModelDownloadable
) -> None:
    assert wanted(path, mode) == ray_wants(path, mode) or (path, mode) == (
        "special_tokens_map.json",  # a tokenizer reads it; Ray forgets it
        TOKENIZER,
    )


def test_where_names_are_odd_a_tokenizer_still_has_all_it_is_built_from() -> None:
    ours = {path for path in OLDER if wanted(path, TOKENIZER)}
    rays = {path for path in OLDER if ray_wants(path, TOKENIZER)}
    assert ours - rays == {
        *("vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "qwen.tiktoken"),
        *("tokenization_qwen.py", "configuration_qwen.py"),
    }
    assert rays - ours == {
        *("old/adapter_config.json.bak", "tokenizer_test/x.bin", "tokenizer.safetensors"),
    }


def test_none_wants_nothing() -> None:
    assert not any(wanted(path, NONE) for path in LLAMA + OLDER)


@pytest.mark.parametrize("mode", [TOKENIZER, NO_WEIGHTS])
def test_a_mode_without_files_says_what_is_there(
    mode: NodeModelDownloadable, tmp_path: Path
) -> None:
    files = {f"model-{number:05}.safetensors": b"x" for number in range(12)}
    manifest = model(tmp_path / "model", files)
    with pytest.raises(PermanentError) as caught:
        bring(manifest, mode, published_path(tmp_path / "store", manifest), name="job")
    text = str(caught.value)
    assert f"has no files for {mode}: it has model-00000.safetensors" in text
    assert "model-00009.safetensors, … (12 files in all)" in text
    assert "model-00010" not in text
    assert listed([]) == "it has no files at all"
