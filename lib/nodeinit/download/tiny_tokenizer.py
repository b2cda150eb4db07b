"""The tokenizer of the tiny model: byte-level BPE, so that any text can be encoded.

The vocabulary is the 256 bytes (in GPT-2's printable spelling), a few merges, and special tokens.
"""

from __future__ import annotations

from typing import Any

_MERGES = (
    "Ġ t", "h e", "Ġt he", "i n", "Ġ a", "r e", "o n", "Ġ w", "e r", "a t", "o u", "Ġ s", "n d",
    "e n", "Ġa nd", "i s", "o r", "e s", "Ġ o", "in g", "e d", "i t", "Ġ b", "l l", "Ġt o", "Ġo f",
    "Ġ in", "y ou",
)  # fmt: skip
_SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")

BOS = 256 + len(_MERGES)
"""The id of the token that begins a text."""
EOS = BOS + 3
"""The id of the token that ends an answer, `<|im_end|>`."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vocabulary_size() -> int:
    """How many tokens there are, special ones included: no id is without a token."""
    return 256 + len(_MERGES) + len(_SPECIAL)


def tokenizer_files() -> dict[str, dict[str, Any]]:
    """The JSON files of the tokenizer, by name."""
    special = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "</s>"}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
        **special,
    }
    return {
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": config,
        "special_tokens_map.json": special,
    }


def _tokenizer() -> dict[str, Any]:
    """What `tokenizers.Tokenizer.from_file` reads."""
    tokens = [*_byte_alphabet(), *(merge.replace(" ", "") for merge in _MERGES)]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": BOS + offset,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for offset, content in enumerate(_SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in _MERGES],
        },
    }


def _byte_alphabet() -> list[str]:
    """GPT-2's printable character for each byte: itself where it has one, else one past U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]
