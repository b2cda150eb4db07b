"""Configs in the shape of Ray's documentation load as they are, and Ray's own names stay known."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeinit.config import LLMConfig, json_schema

UPSTREAM = sorted((Path(__file__).parent / "upstream").glob("*.yaml"))


def entries(data: Any) -> Iterator[dict[str, Any]]:
    if "applications" not in data:
        yield data
        return
    for application in data["applications"]:
        arguments = application["args"]
        yield from arguments.get("llm_configs", [])
        for name in ("llm_config", "prefill_config", "decode_config"):
            if name in arguments:
                yield arguments[name]


@pytest.mark.parametrize("file", UPSTREAM, ids=lambda file: file.stem)
def test_upstream_files_load_unchanged(file: Path) -> None:
    written = list(entries(yaml.safe_load(file.read_text())))
    configs = LLMConfig.load_all(file)
    assert written
    assert [config.to_dict() for config in configs] == written
    assert tuple(LLMConfig.from_dict(config.to_dict()) for config in configs) == configs
    assert tuple(LLMConfig.from_dict(data) for data in written) == configs


def test_the_values_of_upstream_files_arrive() -> None:
    loaded = {file.stem: LLMConfig.load_all(file)[0] for file in UPSTREAM}
    assert loaded["tensor_parallel"].tensor_parallel_size == 2
    assert loaded["tensor_parallel"].bundles == ({"GPU": 1}, {"GPU": 1})
    assert loaded["pipeline_parallel"].pipeline_parallel_size == 2
    assert loaded["pipeline_parallel"].strategy == "SPREAD"
    assert loaded["data_parallel"].data_parallel_size == 4
    assert loaded["fractional_gpu"].bundles == ({"GPU": 0.49},)
    assert loaded["cpu"].hardware == "cpu"
    assert loaded["cpu"].callbacks[0].raise_error is False
    assert loaded["tpu"].hardware == "tpu"
    assert loaded["s3_mirror"].model_source.startswith("s3://anonymous@air-example-data/")
    assert loaded["lora"].lora_config is not None
    assert loaded["custom_server"].tensor_parallel_size == 4


def ray_source(name: str) -> str:
    # Found, not imported: ray.serve.llm needs packages that only an engine needs.
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / name).read_text()


def fields_in_ray(source: str, name: str) -> set[str]:
    body = next(
        node.body
        for node in ast.parse(ray_source(source)).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    names = (node.target.id for node in body if isinstance(node, ast.AnnAssign))  # type: ignore[union-attr]
    return {name for name in names if not name.startswith("_")} - {"model_config"}


CONFIGS = "llm/_internal/serve/core/configs"
SERVE = "serve/_private/config.py"


@pytest.mark.parametrize(
    ("source", "name", "definition"),
    [
        (f"{CONFIGS}/llm_config.py", "LLMConfig", "llm_config"),
        (f"{CONFIGS}/llm_config.py", "ModelLoadingConfig", "model_loading_config"),
        (f"{CONFIGS}/llm_config.py", "LoraConfig", "lora_config"),
        ("llm/_internal/common/callbacks/base.py", "CallbackConfig", "callback_config"),
    ],
)
def test_the_schema_has_the_fields_of_ray(source: str, name: str, definition: str) -> None:
    known = set(json_schema()["$defs"][definition]["properties"])
    assert known == fields_in_ray(source, name)


def test_the_schema_has_the_placement_of_ray() -> None:
    group = json_schema()["$defs"]["placement_group_config"]["properties"]
    ours = {name for name in group if not name.startswith("placement_group_")}
    assert ours == fields_in_ray("llm/_internal/common/placement.py", "PlacementGroupConfig")


def test_the_schema_has_the_mirror_of_ray() -> None:
    loading = json_schema()["$defs"]["model_loading_config"]["properties"]
    mirror = loading["model_source"]["properties"]
    utils = "llm/_internal/common/utils/cloud_utils.py"
    assert set(mirror) == fields_in_ray(utils, "CloudMirrorConfig")
    extra = mirror["extra_files"]["items"]["properties"]
    assert set(extra) == fields_in_ray(utils, "ExtraFiles")


def test_the_schema_knows_every_accelerator_of_ray() -> None:
    assigned = (
        node.value.value
        for node in ast.parse(ray_source("util/accelerators/accelerators.py")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    )
    known = json_schema()["$defs"]["llm_config"]["properties"]["accelerator_type"]["enum"]
    assert set(assigned) <= set(known)
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    "name",
    [
        *("data_parallel_size_local", "data_parallel_rank", "data_parallel_start_rank"),
        *("data_parallel_address", "data_parallel_rpc_port", "data_parallel_backend"),
        *("data_parallel_hybrid_lb", "data_parallel_external_lb", "enable_expert_parallel"),
        *("prefill_context_parallel_size", "decode_context_parallel_size"),
        *("max_parallel_loading_workers", "disable_nccl_for_dp_synchronization"),
        *("enable_multimodal_encoder_data_parallel", "tokenizer", "tokenizer_mode"),
    ],
)
def test_arguments_of_the_engine_that_look_like_sizes_are_left_alone(name: str) -> None:
    config = LLMConfig(model_id="a", engine_kwargs={name: 2})
    assert config.engine_kwargs == {name: 2}


@pytest.mark.parametrize("field", ["accelerator_config", "placement_group_config", "lora_config"])
def test_null_is_the_same_as_nothing_where_ray_says_so(field: str) -> None:
    data = {"model_loading_config": {"model_id": "a", "model_source": None}, field: None}
    data |= {"runtime_env": None, "accelerator_type": None, "server_cls": None}
    assert LLMConfig.from_dict(json.loads(json.dumps(data))) == LLMConfig(model_id="a")
