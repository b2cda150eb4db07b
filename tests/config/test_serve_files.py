"""Files of Ray Serve: several models, models in files of their own, and how to pick one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError

UPSTREAM = Path(__file__).parent / "upstream"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    for name in ("a", "b"):
        text = f"model_loading_config: {{model_id: {name}}}\naccelerator_type: L4\n"
        (tmp_path / "models" / f"{name}.yaml").write_text(text)
    return tmp_path


def serve_file(folder: Path, *entries: str) -> Path:
    listed = "".join(f"    - {entry}\n" for entry in entries)
    file = folder / "serve.yaml"
    file.write_text(f"applications:\n- args:\n    llm_configs:\n{listed}")
    return file


def test_all_models_are_loaded_in_order() -> None:
    file = UPSTREAM / "several_models.yaml"
    assert [config.model_id for config in LLMConfig.load_all(file)] == ["qwen-0.5b", "qwen-1.5b"]


def test_one_of_several_models_is_picked_by_its_id() -> None:
    config = LLMConfig.load(UPSTREAM / "several_models.yaml", model="qwen-1.5b")
    assert config.model_id == "qwen-1.5b"


def test_several_models_without_a_choice_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(UPSTREAM / "several_models.yaml")
    assert "holds 2 models: qwen-0.5b, qwen-1.5b" in str(caught.value)
    remedy = 'LLMConfig.load_all(path) or LLMConfig.load(path, model="qwen-0.5b")'
    assert remedy in str(caught.value)


def test_one_model_twice_can_only_be_loaded_with_all() -> None:
    file = UPSTREAM / "prefill_decode.yaml"
    with pytest.raises(ConfigError, match=r"use LLMConfig.load_all\(path\)$"):
        LLMConfig.load(file, model="llama-8b")
    prefill, decode = LLMConfig.load_all(file)
    assert prefill.model_id == decode.model_id


@pytest.mark.parametrize(
    ("model", "told"),
    [("qwen-0.5", "did you mean 'qwen-0.5b'?"), ("z", "the file holds qwen-0.5b, qwen-1.5b")],
)
def test_a_model_that_is_not_in_the_file(model: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(UPSTREAM / "several_models.yaml", model=model)
    assert told in str(caught.value)


def test_a_file_of_one_model_may_be_asked_for_it_by_id() -> None:
    assert LLMConfig.load(UPSTREAM / "lora.yaml", model="qwen-0.5b").lora_config is not None


def test_models_in_files_of_their_own(folder: Path) -> None:
    file = serve_file(folder, "models/a.yaml", "./models/b.yaml", str(folder / "models/c.yaml"))
    (folder / "models" / "c.yaml").write_text("model_loading_config: {model_id: c}\n")
    assert [config.model_id for config in LLMConfig.load_all(file)] == ["a", "b", "c"]


def test_a_path_may_also_be_seen_from_the_working_directory_as_in_ray(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "deep").mkdir()
    file = serve_file(folder / "deep", "models/a.yaml")
    monkeypatch.chdir(folder)
    assert LLMConfig.load(file).model_id == "a"


def test_a_model_file_that_is_missing(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(serve_file(folder, "models/a.yaml", "models/z.yaml"))
    (fault,) = caught.value.faults
    assert (fault.where, fault.line) == ("applications[0].args.llm_configs[1]", 5)
    assert fault.value == "models/z.yaml"
    assert f"looked for {folder / 'models' / 'z.yaml'}" in (fault.remedy or "")


def test_a_name_that_is_too_long_for_a_file_is_not_a_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is not a file"):
        LLMConfig.load(serve_file(folder, "x" * 5000))


def test_faults_of_all_files_are_reported_at_once(folder: Path) -> None:
    (folder / "models" / "a.yaml").write_text("model_loading_config: {}\nllm_engine: x\n")
    (folder / "models" / "b.yaml").write_text("a: [\n")
    file = serve_file(folder, "models/a.yaml", "models/b.yaml", "{accelerator_type: L5}")
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load_all(file)
    inline = "applications[0].args.llm_configs[2]"
    assert [(fault.where, fault.line) for fault in caught.value.faults] == [
        (f"{inline}.accelerator_type", 6),
        (f"{inline}.model_loading_config", 6),
        ("models/a.yaml: model_loading_config.model_id", 1),
        ("models/a.yaml: llm_engine", 2),
        ("models/b.yaml: file", 2),
    ]
    assert caught.value.source == os.fspath(file)


def test_hardware_is_checked_in_model_files_too(folder: Path) -> None:
    (folder / "models" / "a.yaml").write_text(
        "model_loading_config: {model_id: a}\naccelerator_type: L4\n"
        "accelerator_config: {kind: cpu}\n"
    )
    with pytest.raises(ConfigError, match=r"models/a.yaml: accelerator_type \(line 2\) = L4"):
        LLMConfig.load(serve_file(folder, "models/a.yaml"))


@pytest.mark.parametrize("second", ["{model_loading_config: {model_id: a}}", "models/a.yaml"])
def test_two_models_of_one_name_are_refused(folder: Path, second: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load_all(serve_file(folder, "models/a.yaml", second))
    (fault,) = caught.value.faults
    assert fault.where.endswith("model_loading_config.model_id")
    assert (fault.value, fault.problem) == ("a", "is the id of another model here")


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("applications: []", "applications", "is an empty list"),
        ("applications:", "applications", "is null (empty), not a list"),
        ("applications: [{args: {greeting: hello}}]", "applications", "holds no model"),
        ("applications: [{name: x}]", "applications", "holds no model"),
        ("applications: [7]", "applications[0]", "is a whole number, not a mapping"),
        (
            "applications: [{args: {llm_configs: []}}]",
            "applications[0].args.llm_configs",
            "is an empty list",
        ),
        (
            "applications: [{args: {llm_configs: [7]}}]",
            "applications[0].args.llm_configs[0]",
            "is neither a mapping nor the path of a file",
        ),
        (
            "applications: [{args: {llm_config: ''}}]",
            "applications[0].args.llm_config",
            "is empty",
        ),
        (
            "applications: [{args: {llm_confgs: []}}]",
            "applications[0].args.llm_confgs",
            "is an unknown key",
        ),
    ],
)
def test_serve_files_without_a_model(tmp_path: Path, text: str, where: str, problem: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load_all(file)
    (fault,) = caught.value.faults
    assert (fault.where, fault.problem, fault.line) == (where, problem, 1)
    assert fault.remedy
