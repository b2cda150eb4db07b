"""`nodeinit machine diff`."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from nodeinit.fsm.registry import load_machine
from tests.cli.test_machine import OWN

Nodeinit = Callable[..., Result]


@pytest.fixture
def old(home: Path) -> Path:
    """A file of the standard machine, beside a module with one of a user's own."""
    (home.parent / "own_machine.py").write_text(OWN)
    path = home.parent / "old.json"
    path.write_text(json.dumps(load_machine("node_init").to_dict()))
    return path


def test_what_changed_is_told(nodeinit: Nodeinit, old: Path) -> None:
    found = nodeinit("machine", "diff", old, "own_machine:WARM")

    assert found.exit_code == 1
    assert found.stdout.startswith("node_init → warm: 1 state and ")
    assert "  + placement → warmup" in found.stdout
    assert json.loads(nodeinit("machine", "diff", old, "own_machine:WARM", "--json").stdout)[
        "edges"
    ]


def test_without_a_second_machine_it_is_the_installed_one(nodeinit: Nodeinit, old: Path) -> None:
    found = nodeinit("machine", "diff", old)

    assert (found.exit_code, found.stdout) == (0, "node_init: nothing changed\n")


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [("svg", "<svg"), ("html", "<!doctype"), ("md", "# "), ("txt", "node_init")],
)
def test_a_suffix_chooses_the_format(
    suffix: str, begins: str, nodeinit: Nodeinit, old: Path
) -> None:
    output = old.parent / f"changes.{suffix}"
    found = nodeinit("machine", "diff", old, "own_machine:WARM", "-o", output)

    assert found.exit_code == 1 and found.stdout == ""
    assert output.read_text().startswith(begins)
    if suffix == "svg":
        ET.fromstring(output.read_text())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.json"], "gone.json"),
        (["old.json", "own_machine:WRAM"], "did you mean WARM?"),
        (["old.json", "-o", "x.bmp"], r"known: .svg, .html, .md, .json, .txt"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: list[str], said: str, nodeinit: Nodeinit, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(old.parent)
    found = nodeinit("machine", "diff", *arguments)

    assert found.exit_code == 2 and said in found.stderr
