"""Which files of a model belong to a download mode, judged by their names alone.

The modes are those of Ray Serve LLM, and so is what they mean. Its patterns are looked for anywhere
in a path; ours are held against the name of the file, which is stricter and wider where that helps:

* `TOKENIZER_ONLY` is `tokenizer`, `config.json` or `chat_template` anywhere there, so that it takes
  `old/adapter_config.json.bak` and every weight below `tokenizer_test/`, and leaves out `vocab.txt`
  and `merges.txt`, without which many tokenizers cannot be built, and `spiece.model` and
  `qwen.tiktoken`, which others are.
* `EXCLUDE_SAFETENSORS` leaves out names that end in `.safetensors`, there as here: the index beside
  the weights stays, since engines that stream weights read it.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.context import NodeModelDownloadable

_TOKENIZER_NAMES = (
    *("tokenizer", "special_tokens_map", "added_tokens", "vocab", "merges", "chat_template"),
    "sentencepiece",
)
_TOKENIZER_ENDINGS = (
    *(".json", ".model", ".txt", ".jinja", ".tiktoken", ".spm"),
    # A tokenizer may have code of its own; whether it runs is for the engine's trust_remote_code.
    ".py",
)
_WEIGHTS = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".ot"),
    ".index.json",  # speaks of weights that are not there
)
_SHOWN = 10  # names in an error


def wanted(path: str, mode: NodeModelDownloadable) -> bool:
    """Whether a file belongs to a download mode.

    `TOKENIZER_ONLY` takes the tokenizer's files and the JSON, model, text and Python files that
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
            if name.endswith(_WEIGHTS):
                return False
            return name.startswith(_TOKENIZER_NAMES) or name.endswith(_TOKENIZER_ENDINGS)


def listed(paths: Sequence[str]) -> str:
    """Some names for an error: the first ten, and how many there are in all."""
    if not paths:
        return "it has no files at all"
    some = ", ".join(paths[:_SHOWN])
    more = f", … ({len(paths)} files in all)" if len(paths) > _SHOWN else ""
    return f"it has {some}{more}"
