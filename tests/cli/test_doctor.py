"""`nodeinit doctor` on a real Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.real import Elsewhere, Program

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.close()


@pytest.fixture
def doctor(tmp_path: Path, elsewhere: Elsewhere) -> Any:
    def run(*options: str) -> Any:
        program = Program(tmp_path / "home")
        return program.run("doctor", "--address", elsewhere.address, *options)

    return run


def test_a_cluster_on_which_nothing_is_left(doctor: Any) -> None:
    result = doctor()
    assert result.returncode == 0, result.stderr
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert lines[-4:] == [
        ["cluster"],
        ["ok", "hosts: 3 alive"],
        ["ok", "GPUs: 4 of 4 free"],
        ["ok", "nothing is left over"],
    ]


@pytest.mark.slow
def test_what_is_left_is_shown_then_swept(doctor: Any, elsewhere: Elsewhere) -> None:
    assert elsewhere.does("abandon llm-1") == ["llm-1"]
    result = doctor()
    assert result.returncode == 4, result.stderr
    assert "GPUs: 3 of 4 free" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if "left over" in line]
    assert line.strip().startswith("bad   left over: group llm-1 with 1 GPU on host-1: process ")
    assert "-> remove it: `nodeinit doctor --sweep`" in result.stdout
    assert elsewhere.groups() == ["llm-1"]

    result = doctor("--sweep", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["clean"], found["level"]) == (True, "ok")
    (swept,) = found["leftovers"]
    assert (swept["kind"], swept["name"], swept["holds"]) == ("group", "llm-1", {"GPU": 1})
    assert (swept["removed"], swept["error"]) == (True, None)
    assert elsewhere.groups() == []
    assert "nothing is left over" in doctor().stdout


def test_a_group_that_waits_is_named_and_left_alone(doctor: Any, elsewhere: Elsewhere) -> None:
    assert elsewhere.does("ask too-much") == ["too-much"]
    result = doctor("--sweep")
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if "waiting" in line]
    assert line.strip().startswith("warn  waiting: group too-much with 5 GPU: PENDING for ")
    assert line.endswith(": NO_RESOURCES")
    assert elsewhere.does("drop too-much") == []


def test_no_ray_to_look_at(tmp_path: Path) -> None:
    result = Program(tmp_path / "home").run("doctor", "--address", "127.0.0.1:1")
    assert result.returncode == 2
    assert "127.0.0.1:1" in result.stderr
