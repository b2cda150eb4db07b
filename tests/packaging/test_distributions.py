"""Wheel, sdist and editable install: what is in them, and that they work where nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist, built by the backend itself: no network, no isolation."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def sources(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_both_packages_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        entry_points = next(n for n in names if n.endswith("entry_points.txt"))
        points = wheel.read(entry_points).decode()

    code = {name for name in names if ".dist-info/" not in name}
    assert (
        sources(ROOT / "lib") - {"README.md"} | sources(ROOT / "machines") - {"README.md"} == code
    )
    assert "nodeinit/py.typed" in code and "nodeinit_machines/py.typed" in code
    assert "node_init = nodeinit_machines.node_init:NODE_INIT" in points
    assert "nodeinit = nodeinit.cli.main:main" in points


def test_the_sdist_can_be_built_and_tested_from(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}

    for needed in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "lib/README.md"):
        assert needed in names
    assert {f"tests/{name}" for name in sources(ROOT / "tests") if name.endswith(".py")} <= names
    assert not {name for name in names if ".git/" in name or "__pycache__" in name}


SHOW = """
import json, sys, time
began = time.perf_counter()
import nodeinit
took = time.perf_counter() - began
heavy = [m for m in ("ray", "transitions", "yaml", "jsonschema", "torch") if m in sys.modules]
machine = nodeinit.load_machine("node_init")
print(json.dumps([nodeinit.__file__, took, heavy, machine.name, "ray" in sys.modules]))
"""


def show(python: str | Path, **env: str) -> list[object]:
    done = subprocess.run(
        [str(python), "-c", SHOW], check=True, capture_output=True, text=True, env=env or None
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_the_wheel_works_where_it_is_installed(built: Path, tmp_path: Path) -> None:
    """Installed beside the packages of this environment, but not from this checkout."""
    target = tmp_path / "site"
    wheel = next(built.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)

    file, _, heavy, machine, ray = show(sys.executable, PYTHONPATH=str(target), PATH="")

    assert str(target) in str(file)
    assert ([], "node_init", False) == (heavy, machine, ray)


def test_the_editable_install_sees_this_checkout() -> None:
    file, _, heavy, machine, ray = show(sys.executable)

    assert str(ROOT / "lib") in str(file)
    assert ([], "node_init", False) == (heavy, machine, ray)


def test_the_public_surface_fits_one_screen_and_is_all_there() -> None:
    import nodeinit

    assert sorted(nodeinit.__all__) == list(nodeinit.__all__)
    assert len(nodeinit.__all__) <= 30
    for name in nodeinit.__all__:
        assert getattr(nodeinit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'initialise'"):
        nodeinit.initialise  # noqa: B018


def test_only_the_prescribed_top_level_folders() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    )
    names = listed.stdout.splitlines() or [f"{p.name}/x" for p in ROOT.iterdir() if p.is_dir()]
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert {"lib", "machines", "tests", "diagrams"} | {f for f in folders if f[0] == "."} == folders
    for folder in ("lib", "machines", "tests", "diagrams"):
        assert (ROOT / folder / "README.md").is_file()
