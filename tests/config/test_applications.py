"""A config file as Ray Serve sees it: applications, and the Serve config in a RayService."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nodeinit.config import LLMConfig
from nodeinit.config.applications import load_serve_file, with_entries
from nodeinit.errors import ConfigError

UPSTREAM = Path(__file__).parent / "upstream"
RAY_SERVICE = Path(__file__).parents[1] / "configs" / "rayservice.yaml"


def test_models_know_their_application_and_their_place_in_it() -> None:
    file = load_serve_file(UPSTREAM / "several_models.yaml")
    (app,) = file.applications  # the other one has no models
    assert (app.index, app.name, app.builder) == (0, "llm_app", "build_openai_app")
    assert [entry.place for entry in app.entries] == [("llm_configs", 0), ("llm_configs", 1)]
    assert [entry.config.model_id for entry in app.entries] == ["qwen-0.5b", "qwen-1.5b"]
    assert app.ingress == {"autoscaling_config": {"min_replicas": 2}}
    assert [app["name"] for app in file.data["applications"]] == ["llm_app", "other"]
    pd = load_serve_file(UPSTREAM / "prefill_decode.yaml").applications[0]
    assert [entry.place for entry in pd.entries] == [("prefill_config",), ("decode_config",)]


def test_a_single_model_gets_an_application_that_serves_it() -> None:
    file = load_serve_file(UPSTREAM / "lora.yaml")
    (app,) = file.applications
    assert (app.name, app.import_path) == ("default", "ray.serve.llm:build_openai_app")
    written = yaml.safe_load((UPSTREAM / "lora.yaml").read_text())
    assert file.data["applications"][0]["args"] == {"llm_configs": [written]}
    assert app.entries[0].data == written


def test_entries_are_changed_in_their_places_and_the_file_stays_as_it_is() -> None:
    args = {"llm_configs": [{"a": 1}, "b.yaml"], "prefill_config": {}, "other": 1}
    found = with_entries(args, {("llm_configs", 1): {"b": 2}, ("prefill_config",): {"c": 3}})
    assert found == {"llm_configs": [{"a": 1}, {"b": 2}], "prefill_config": {"c": 3}, "other": 1}
    assert args == {"llm_configs": [{"a": 1}, "b.yaml"], "prefill_config": {}, "other": 1}


def test_a_model_in_a_file_of_its_own_comes_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("model_loading_config: {model_id: m}\n")
    args = {"llm_configs": ["m.yaml"]}
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump({"applications": [{"args": args}]}))
    (entry,) = load_serve_file(tmp_path / "serve.yaml").applications[0].entries
    assert entry.data == {"model_loading_config": {"model_id": "m"}}


def test_the_serve_config_in_a_ray_service_is_read() -> None:
    file = load_serve_file(RAY_SERVICE)
    (app,) = file.applications
    assert (app.name, app.import_path) == ("llm", "nodeinit.ray.llm:build_openai_app")
    (config,) = LLMConfig.load_all(RAY_SERVICE)
    assert (config.model_id, config.tensor_parallel_size) == ("qwen-7b", 2)
    assert config.nodeinit.store == "/models"


def test_faults_in_a_ray_service_have_the_lines_of_the_file(tmp_path: Path) -> None:
    text = RAY_SERVICE.read_text()
    number = 1 + text.split("\n").index("                tensor_parallel_size: 2")
    path = tmp_path / "service.yaml"
    path.write_text(text.replace("tensor_parallel_size: 2", "tensor_parallel_size: two"))
    with pytest.raises(ConfigError) as refused:
        load_serve_file(path)
    (fault,) = refused.value.faults
    assert fault.line == number
    assert fault.where.startswith("serveConfigV2: applications[0].args.llm_configs[0].engine_")
    path.write_text(text.replace("serveConfigV2: |", "other: |"))
    with pytest.raises(ConfigError, match="is missing, or is no text; write a Serve config"):
        load_serve_file(path)
    path.write_text(text.replace("        route_prefix: /\n", "        name: llm\n"))
    with pytest.raises(ConfigError) as refused:
        load_serve_file(path)
    assert refused.value.faults[0].line == 1 + path.read_text().split("\n").index(
        "        name: llm"
    )
