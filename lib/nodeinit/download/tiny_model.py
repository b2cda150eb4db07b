"""A tiny but real model, written from nothing: for demos, tests and machines without a network.

Two layers of Llama with random weights and a byte-level BPE tokenizer with a chat template: 0.7 MB
in the layout of the Hugging Face Hub, for engines to load and to generate nonsense with. The bytes
are the same every time.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
import struct
from pathlib import Path
from uuid import uuid4

from nodeinit.download.oserrors import explaining
from nodeinit.download.tiny_tokenizer import BOS, EOS, tokenizer_files, vocabulary_size
from nodeinit.errors import PermanentError

_HIDDEN, _HEADS, _INTERMEDIATE, _LAYERS = 128, 2, 192, 2  # heads of 64, which every backend knows
_SEED = 20240229


def make_tiny_model(directory: str | Path) -> Path:
    """Write the model to `directory`, at once, and return its absolute path.

    Does nothing if the model is there already. Raises `PermanentError` if something else is.
    """
    target = Path(directory).expanduser().absolute()
    files = _files()
    if _holds(target, files):
        return target
    scratch = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    with explaining("write", target):
        try:
            scratch.mkdir(parents=True)
            for name, data in files.items():
                (scratch / name).write_bytes(data)
            scratch.rename(target)
        except OSError:
            # Somebody was there first. If it is the same model, all is well.
            if not _holds(target, files):
                if target.is_dir() and any(target.iterdir()):
                    raise PermanentError(
                        f"{target} holds something else than the tiny model; "
                        "remove it or use another directory"
                    ) from None
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _holds(directory: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((directory / name).read_bytes() == data for name, data in files.items())
    except (FileNotFoundError, NotADirectoryError):
        return False


@functools.cache
def _files() -> dict[str, bytes]:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary_size(),
        "hidden_size": _HIDDEN,
        "intermediate_size": _INTERMEDIATE,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "torch_dtype": "bfloat16",
    }
    generation = {"bos_token_id": BOS, "eos_token_id": EOS, "do_sample": False}
    files = {"config.json": _json(config), "generation_config.json": _json(generation)}
    files |= {name: _json(value) for name, value in tokenizer_files().items()}
    return files | _weights()


def _shapes() -> list[dict[str, tuple[int, ...]]]:
    """The tensors of each shard, by name."""
    vocabulary = (vocabulary_size(), _HIDDEN)
    shards: list[dict[str, tuple[int, ...]]] = [{"model.embed_tokens.weight": vocabulary}, {}]
    for layer in range(_LAYERS):
        prefix = f"model.layers.{layer}."
        shards[layer * 2 // _LAYERS] |= {
            f"{prefix}input_layernorm.weight": (_HIDDEN,),
            f"{prefix}mlp.down_proj.weight": (_HIDDEN, _INTERMEDIATE),
            f"{prefix}mlp.gate_proj.weight": (_INTERMEDIATE, _HIDDEN),
            f"{prefix}mlp.up_proj.weight": (_INTERMEDIATE, _HIDDEN),
            f"{prefix}post_attention_layernorm.weight": (_HIDDEN,),
            f"{prefix}self_attn.k_proj.weight": (_HIDDEN, _HIDDEN),
            f"{prefix}self_attn.o_proj.weight": (_HIDDEN, _HIDDEN),
            f"{prefix}self_attn.q_proj.weight": (_HIDDEN, _HIDDEN),
            f"{prefix}self_attn.v_proj.weight": (_HIDDEN, _HIDDEN),
        }
    shards[1] |= {"lm_head.weight": vocabulary, "model.norm.weight": (_HIDDEN,)}
    return shards


def _weights() -> dict[str, bytes]:
    """The shards in safetensors format, and the index that says which tensor is in which."""
    rng = random.Random(_SEED)
    # 256 values of a normal distribution, drawn by a random byte each: fast without numpy.
    values = [_bfloat16(rng.gauss(0.0, 0.02)) for _ in range(256)]
    files: dict[str, bytes] = {}
    places: dict[str, str] = {}
    total = 0
    shards = _shapes()
    for number, shapes in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {}
        for tensor, shape in shapes.items():
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            if "norm" in tensor:
                tensors[tensor] = shape, _bfloat16(1.0) * count
            else:
                tensors[tensor] = shape, b"".join(values[byte] for byte in rng.randbytes(count))
            places[tensor] = name
            total += 2 * count
        files[name] = _safetensors(tensors)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    return files | {"model.safetensors.index.json": _json(index)}


def _safetensors(tensors: dict[str, tuple[tuple[int, ...], bytes]]) -> bytes:
    """The format: header length (u64, little endian), a JSON header, the tensors one after another.

    Source: https://huggingface.co/docs/safetensors
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, data) in tensors.items():
        start, end = end, end + len(data)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # the data begins at a multiple of 8
    body = b"".join(data for _, data in tensors.values())
    return struct.pack("<Q", len(encoded)) + encoded + body


def _bfloat16(value: float) -> bytes:
    """A number as bfloat16: the upper half of its float32, little endian."""
    return struct.pack("<f", value)[2:]


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
