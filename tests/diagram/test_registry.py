from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeinit.diagram import (
    Renderer,
    formats,
    register,
    registry,
    render,
    to_mermaid,
    to_table,
    write,
)
from nodeinit.errors import ConfigError
from nodeinit.fsm.definition import Definition
from tests.diagram.machines import SMALL


@pytest.fixture
def no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_renderers", dict(registry._renderers))
    yield


def count_states(definition: Definition) -> str:
    return f"{len(definition.states)}\n"


def test_our_formats_come_first() -> None:
    assert formats()[:5] == ("svg", "mmd", "dot", "md", "json")


def test_json_is_the_canonical_form() -> None:
    assert json.loads(render(SMALL, "json")) == SMALL.to_dict()


@pytest.mark.parametrize(("name", "made"), [("mmd", to_mermaid), ("md", to_table)])
def test_a_suffix_chooses_the_renderer(name: str, made: Renderer, tmp_path: Path) -> None:
    path = tmp_path / "deep" / f"small.{name.upper()}"
    write(SMALL, path)

    assert path.read_text("utf-8") == made(SMALL) == render(SMALL, name)


def test_files_have_the_same_bytes_everywhere(tmp_path: Path) -> None:
    write(SMALL, str(tmp_path / "small.md"))

    assert (tmp_path / "small.md").read_bytes() == to_table(SMALL).encode()


@pytest.mark.usefixtures("no_trace")
def test_a_renderer_of_ones_own_is_one_among_others(tmp_path: Path) -> None:
    register("n", count_states)
    register("n", count_states)
    write(SMALL, tmp_path / "small.n")

    assert "n" in formats()
    assert (tmp_path / "small.n").read_text() == "8\n"


@pytest.mark.usefixtures("no_trace")
@pytest.mark.parametrize("name", ["mmd", "MMD"])
def test_a_renderer_replaces_no_other(name: str) -> None:
    with pytest.raises(ValueError, match="has a renderer already"):
        register(name, count_states)

    assert render(SMALL, "mmd") == to_mermaid(SMALL)


@pytest.mark.parametrize("name", ["", ".svg", "a b", "a/b"])
def test_a_format_must_be_able_to_be_a_suffix(name: str) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        register(name, count_states)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'bmp'.*known: \.svg, \.mmd, \.dot, \.md, \.json"):
        render(SMALL, "bmp")


def test_what_is_no_text_goes_to_a_file() -> None:
    with pytest.raises(ConfigError, match=r"'PNG': is drawn by Graphviz.*-o machine\.png"):
        render(SMALL, "PNG")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("small.bmp", r"no renderer has the suffix '\.bmp'"), ("small", "it has no suffix")],
)
def test_an_unknown_suffix_is_refused_and_nothing_written(
    name: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=rf"{name}.*{problem}.*known: \.svg, \.mmd, \.dot, \.md, \.json"
    ):
        write(SMALL, tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"small\.mmd.*cannot be written"):
        write(SMALL, tmp_path / "file" / "small.mmd")
