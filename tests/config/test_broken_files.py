"""Files that cannot be read at all, or that are made to hurt whoever reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault


def the_fault(path: Path) -> Fault:
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(path)
    (fault,) = caught.value.faults
    assert str(path) in str(caught.value)
    return fault


def test_a_missing_file(tmp_path: Path) -> None:
    fault = the_fault(tmp_path / "config.yaml")
    assert (fault.problem, fault.remedy) == ("does not exist", "check the path")


def test_a_missing_file_of_a_relative_path_says_from_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert the_fault(Path("config.yaml")).remedy == f"check the path (seen from {tmp_path})"


def test_a_directory(tmp_path: Path) -> None:
    fault = the_fault(tmp_path)
    assert (fault.problem, fault.remedy) == ("is a directory", "name the YAML file in it")


def test_a_path_that_no_system_takes(tmp_path: Path) -> None:
    assert the_fault(tmp_path / "a\0b").problem.startswith("cannot be read")


@pytest.mark.parametrize(
    ("content", "line", "problem", "remedy"),
    [
        (b"a: b\nc: \xff\xfe\n", 2, "is not UTF-8 text", "save it as UTF-8"),
        (b"", None, "is empty", "write an LLMConfig into it"),
        (b"# nothing\nnull\n", 2, "is null (empty), not a mapping", "write a mapping"),
        (b"- a\n- b\n", 1, "is a list, not a mapping", "write a mapping"),
        (b"just text\n", 1, "is text, not a mapping", "write a mapping"),
        (b"a: b\nc: [1, 2\nd: e\n", 3, "is not valid YAML at column 2", "correct the syntax"),
        (b"a: b\n\tc: d\n", 2, "is not valid YAML at column 1", "correct the syntax"),
        (b"a: *nowhere\n", 1, "found undefined alias 'nowhere'", "correct the syntax"),
        (b"a: 1\n---\nb: 2\n", 2, "is not valid YAML", "correct the syntax"),
        (b"a: 1\n<<: 3\n", 2, "is not valid YAML", "correct the syntax"),
        (b"a: 1\nb: \x07\n", 2, "is not valid YAML: it holds the character #x0007", "remove it"),
    ],
)
def test_a_file_that_is_no_config(
    tmp_path: Path, content: bytes, line: int | None, problem: str, remedy: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    fault = the_fault(file)
    assert fault.line == line
    assert problem in fault.problem
    assert remedy in (fault.remedy or "")


def test_the_mark_of_utf_8_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xef\xbb\xbfmodel_loading_config: {model_id: a}\n")
    assert LLMConfig.load(file).model_id == "a"


def test_a_syntax_error_does_not_quote_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text('runtime_env: {env_vars: {HF_TOKEN: "hunter2", ]\n')
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(file)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a, c: *a}",
        "engine_kwargs: " + "[" * 100 + "]" * 100,
        "engine_kwargs: " + "[" * 3000 + "]" * 3000,
    ],
    ids=["itself", "itself twice", "deep", "deeper than the stack"],
)
def test_endless_nesting_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert "is nested too deep" in the_fault(file).problem


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(levels))
    assert "is too large" in the_fault(file).problem


def test_a_merged_mapping_may_override_and_be_used_again(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "model_loading_config: {model_id: a}\n"
        "engine_kwargs:\n"
        "  base: &base {x: 1, y: 1}\n"
        "  more: &more {<<: *base, y: 2}\n"
        "  again: *more\n"
    )
    kwargs = LLMConfig.load(file).to_dict()["engine_kwargs"]
    assert kwargs["more"] == kwargs["again"] == {"x": 1, "y": 2}
