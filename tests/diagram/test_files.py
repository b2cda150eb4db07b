from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nodeinit.diagram import files, to_mermaid
from nodeinit.diagram.files import check, main, update
from nodeinit.diagram.gallery import with_machine
from nodeinit.errors import ConfigError
from nodeinit.fsm import registry
from tests.diagram.machines import SMALL

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make machines of these names look installed; all are the small one."""

    def only(*names: str) -> None:
        points = {
            name: EntryPoint(name, "tests.diagram.machines:SMALL", registry.GROUP) for name in names
        }
        for module in (registry, files):
            monkeypatch.setattr(module, "machines", lambda: points)

    only("small")
    return only


def test_what_was_written_has_not_drifted(install: Install, tmp_path: Path) -> None:
    wrote = update(tmp_path / "new")

    names = {"README.md", "small.json", "small.dot", "small.md", "small.mmd", "small.svg"}
    assert {path.name for path in wrote} == names
    assert check(tmp_path / "new") == []
    assert update(tmp_path / "new") == []


@pytest.mark.parametrize(
    "name", ["README.md", "small.json", "small.dot", "small.md", "small.mmd", "small.svg"]
)
def test_any_difference_is_found_and_mended(name: str, install: Install, tmp_path: Path) -> None:
    update(tmp_path)
    path = tmp_path / name
    right = path.read_text("utf-8")
    path.write_text(right.replace("errored", "erred", 1), "utf-8")
    assert check(tmp_path) == [path]

    path.unlink()
    assert check(tmp_path) == [path]

    assert update(tmp_path) == [path]
    assert path.read_text("utf-8") == right


def test_files_of_no_machine_are_named_and_left_alone(install: Install, tmp_path: Path) -> None:
    install("small", "gone")
    update(tmp_path)
    install("small")

    strays = [tmp_path / f"gone.{format}" for format in ("dot", "json", "md", "mmd", "svg")]
    assert check(tmp_path) == strays
    update(tmp_path)
    assert all(path.exists() for path in strays)


def test_what_people_wrote_into_the_gallery_stays(install: Install, tmp_path: Path) -> None:
    update(tmp_path)
    page = tmp_path / "README.md"
    text = page.read_text("utf-8")
    page.write_text(f"before\n{text.replace('releasing', 'x')}after\n", "utf-8")
    update(tmp_path)

    assert page.read_text("utf-8") == f"before\n{text}after\n"


def test_every_machine_has_one_section_in_the_gallery() -> None:
    page = with_machine(with_machine("", "a"), "b.c")

    assert with_machine(with_machine(page, "a"), "b.c") == page
    assert page.count("<!-- nodeinit diagram a mmd -->\n<!-- nodeinit end -->\n") == 1
    assert page.count("<!-- nodeinit diagram b.c b.c.svg -->\n<!-- nodeinit end -->\n") == 1
    assert page.index("## a") < page.index("## b.c")
    assert "## c" in with_machine(page, "c"), "a name that others end in is one of its own"


def test_only_named_machines_are_written(install: Install, tmp_path: Path) -> None:
    install("one", "two")
    update(tmp_path, ["two"])

    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "two.dot",
        "two.json",
        "two.md",
        "two.mmd",
        "two.svg",
    ]
    page = tmp_path / "README.md"
    assert to_mermaid(SMALL) in page.read_text("utf-8")

    update(tmp_path)
    page.write_text(page.read_text("utf-8").replace("errored", "x"), "utf-8")
    update(tmp_path, ["two"])
    section = page.read_text("utf-8").partition("## one")
    assert "errored, cancel" in section[0] and "errored, cancel" not in section[2]


@pytest.mark.parametrize("name", ["a/b", "..\\b", "readme", "with space"])
def test_a_name_that_is_no_file_name_is_refused(
    name: str, install: Install, tmp_path: Path
) -> None:
    install(name)
    with pytest.raises(ConfigError, match="cannot be the name of a file"):
        update(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_checks_and_tells(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", str(tmp_path)]) == 1
    assert "small.mmd does not match the code" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

    assert main([str(tmp_path)]) == 0
    assert f"wrote {tmp_path / 'small.mmd'}" in capsys.readouterr().out
    assert main(["--check", str(tmp_path)]) == 0

    assert main([str(tmp_path), "smal"]) == 2
    assert "did you mean 'small'?" in capsys.readouterr().err
