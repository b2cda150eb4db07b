"""`nodeinit machine` and `nodeinit diagram`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from nodeinit.fsm.registry import load_machine

Nodeinit = Callable[..., Result]

UNSOUND = """
from nodeinit import Definition, Edge, Phase

async def work(ctx, run):
    return ctx

BROKEN = Definition("broken", (Phase("work", work),), (Edge("idle", "start", "work"),))
"""

OWN = """
import attrs
from nodeinit import Phase, load_machine

async def warm_up(ctx, run):
    return ctx

WARM_UP = Phase("warmup", warm_up)
WARM = load_machine("node_init").with_phase(WARM_UP, after="placement", name="warm")
ENDLESS = attrs.evolve(
    WARM,
    name="endless",
    edges=tuple(attrs.evolve(edge, guards=edge.guards[:1]) for edge in WARM.edges),
)
OTHER = 5
"""


@pytest.fixture
def here(home: Path) -> Path:
    """The current directory, with modules of a user's own."""
    (home.parent / "unsound_machine.py").write_text(UNSOUND)
    (home.parent / "own_machine.py").write_text(OWN)
    return home.parent


def test_list(nodeinit: Nodeinit) -> None:
    assert "node_init  nodeinit_machines.node_init:NODE_INIT" in nodeinit("machine", "list").stdout
    found = json.loads(nodeinit("machine", "list", "--json").stdout)
    expected = {"name": "node_init", "definition": "nodeinit_machines.node_init:NODE_INIT"}
    assert expected in found


def test_show_has_every_phase_edge_and_hook(nodeinit: Nodeinit) -> None:
    definition = load_machine("node_init")
    shown = nodeinit("machine", "show").stdout
    for phase in definition.phases:
        assert phase.summary in shown
    for hook in definition.hooks:
        assert hook in shown
    edges = shown[shown.index("edges") : shown.index("\nhooks")].strip().splitlines()[1:]
    assert len(edges) == len(definition.edges)
    assert "if placement_is_valid and model_is_complete; fires on_after_init" in shown


def test_show_in_json_is_the_canonical_form(nodeinit: Nodeinit) -> None:
    shown = nodeinit("machine", "show", "node_init", "--json").stdout
    assert json.loads(shown) == load_machine("node_init").to_dict()


def test_check_of_what_is_installed(nodeinit: Nodeinit) -> None:
    result = nodeinit("machine", "check")
    assert (result.exit_code, "node_init: sound" in result.stdout) == (0, True)
    found = json.loads(nodeinit("machine", "check", "node_init", "--json").stdout)
    assert ("node_init", True, []) == (found["machine"], found["sound"], found["problems"])
    assert found["complete"] and found["situations"] > 100
    assert found["edges"][0] == found["edges"][1] == len(load_machine("node_init").singles())


def test_check_of_an_unsound_machine_tells_every_problem(nodeinit: Nodeinit, here: Path) -> None:
    result = nodeinit("machine", "check", "unsound_machine:BROKEN")
    assert result.exit_code == 2
    assert "unsound_machine:BROKEN: NOT sound" in result.stdout
    problems = [line for line in result.stdout.splitlines() if line.startswith("  - ")]
    assert len(problems) > 3
    assert any("cancel" in problem for problem in problems)
    found = json.loads(nodeinit("machine", "check", "unsound_machine:BROKEN", "--json").stdout)
    assert not found["sound"]
    assert [f"  - {problem}" for problem in found["problems"]] == problems


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("node_int", "did you mean 'node_init'?"),
        ("nowhere:X", "cannot import 'nowhere'"),
        ("own_machine:WARN", "did you mean WARM?"),
        ("own_machine:OTHER", "is a int, not a Definition"),
        ("own_machine:", "is not an import path"),
    ],
)
def test_a_machine_that_is_none(nodeinit: Nodeinit, here: Path, name: str, told: str) -> None:
    for command in (("machine", "check"), ("machine", "show"), ("diagram",)):
        result = nodeinit(*command, name)
        assert result.exit_code == 2
        assert told in result.output
        assert "Traceback" not in result.output


def test_what_shows_only_when_the_machine_is_run(nodeinit: Nodeinit, here: Path) -> None:
    result = nodeinit("machine", "check", "own_machine:ENDLESS")
    assert result.exit_code == 2
    assert "[bounded] endless: config is tried more than 2 times in a row" in result.stdout
    assert "(after start, errored, retry, errored, retry)" in result.stdout
    assert "guard the edge with attempts_left" in result.stdout


def test_a_machine_of_ones_own_is_as_good_as_ours(nodeinit: Nodeinit, here: Path) -> None:
    assert nodeinit("machine", "check", "own_machine:WARM").exit_code == 0
    assert "warmup" in nodeinit("machine", "show", "own_machine:WARM").stdout
    assert "warmup" in nodeinit("diagram", "own_machine:WARM").stdout


@pytest.mark.parametrize("suffix", ["svg", "mmd", "dot", "md", "json"])
def test_a_diagram_on_stdout_is_the_one_in_a_file(
    nodeinit: Nodeinit, here: Path, suffix: str
) -> None:
    target = here / f"x.{suffix}"
    result = nodeinit("diagram", "-o", target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"wrote {target}" in result.stderr
    text = target.read_text()
    assert "on_before_download" in text
    assert nodeinit("diagram", "node_init", "--format", suffix).stdout == text


def test_the_format_can_be_given_beside_the_file(nodeinit: Nodeinit, here: Path) -> None:
    nodeinit("diagram", "-o", here / "x.txt", "--format", "mmd")
    assert (here / "x.txt").read_text() == nodeinit("diagram").stdout


@pytest.mark.parametrize(
    "arguments", [("-o", "x.bmp"), ("--format", "png"), ("-o", "own_machine.py/x.mmd")]
)
def test_a_diagram_that_cannot_be_drawn(
    nodeinit: Nodeinit, here: Path, arguments: tuple[str, str]
) -> None:
    result = nodeinit("diagram", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert arguments[1] in result.stderr
