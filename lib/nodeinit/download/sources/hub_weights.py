"""Weights that a model has twice: once in safetensors, and again as other programs want them.

Uploads often carry the same numbers for PyTorch, TensorFlow, Flax, ONNX and llama.cpp. Engines take
the safetensors when there are any, so the others would only cost bandwidth and disk, and the
pickled ones among them may run code. A folder without safetensors keeps all it has.
"""

from __future__ import annotations

from collections.abc import Iterable

_ENDINGS = (
    *(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".ot", ".gguf", ".onnx"),
    *(".onnx_data", ".tflite"),
    *(".bin.index.json", ".h5.index.json", ".msgpack.index.json"),
)
_FOLDERS = ("original", "onnx", "openvino", "coreml")  # at the top of an upload, by convention


def redundant(paths: Iterable[str]) -> frozenset[str]:
    """The files that hold weights which are there in safetensors, too."""
    listed = list(paths)
    safe = {_folder(path) for path in listed if _is_whole_model(path)}
    return frozenset(
        path
        for path in listed
        if (_folder(path) in safe and path.endswith(_ENDINGS))
        or ("" in safe and path.split("/")[0] in _FOLDERS and "/" in path)
    )


def _is_whole_model(path: str) -> bool:
    # An adapter's weights say nothing about those of the model beside it.
    return path.endswith(".safetensors") and not path.rsplit("/", 1)[-1].startswith("adapter_")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
