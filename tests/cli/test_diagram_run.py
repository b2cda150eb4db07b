"""`nodeinit diagram --run` and `--watch`, and `nodeinit run --diagram`: runs as files and pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import Result

from nodeinit.cli.watching import exit_code_of_run
from nodeinit.clusters.simulated import SimFault
from nodeinit.diagram.plan import Planned
from nodeinit.diagram.run import read_run
from nodeinit.placement.planner import plan
from nodeinit.placement.replicas import Replica
from nodeinit.placement.request import PlacementRequest
from tests.cli.conftest import World, write_config
from tests.diagram import run_journals as scripts

Nodeinit = Callable[..., Result]


@pytest.fixture
def journal(home: Path) -> Path:
    return scripts.displaced(home.parent / "j.jsonl")


@pytest.mark.parametrize(
    ("name", "begins", "tells"),
    [
        ("run.svg", "<svg ", "#4 at 45"),
        ("run.html", "<!doctype html>", "Reserved until it was given back"),
        ("run.md", "## ✅ The node is released", "```mermaid\ngantt"),
        ("RUN.HTML", "<!doctype html>", "thief-0"),
    ],
)
def test_a_run_is_written_in_the_format_of_the_suffix(
    nodeinit: Nodeinit, journal: Path, home: Path, name: str, begins: str, tells: str
) -> None:
    result = nodeinit("diagram", "--run", journal, "-o", home / name)
    assert result.exit_code == 0 and f"wrote {home / name}" in result.stderr
    text = (home / name).read_text()
    assert text.startswith(begins) and tells in text
    format = name.lower().rpartition(".")[2]
    assert nodeinit("diagram", "--run", journal, "--format", format).stdout == text


def test_a_run_that_is_over_is_watched_to_its_end(
    nodeinit: Nodeinit, journal: Path, home: Path
) -> None:
    result = nodeinit("diagram", "--watch", journal, "-o", home / "page.html")
    assert result.exit_code == 0, result.output
    assert re.match(r"page     http://127\.0\.0\.1:\d+/, and ", result.stdout)
    assert "placement -> download    on displaced" in result.stdout
    assert result.stdout.endswith("The node is released.\n")
    assert 'data-over="true"' in (home / "page.html").read_text()


@pytest.mark.parametrize(
    ("gpus", "faults", "code"),
    [
        (8, [], 0),
        (0, [], 3),
        (8, [SimFault("fetch", "permanent")], 4),
    ],
)
def test_a_watch_exits_as_the_run_did(
    nodeinit: Nodeinit, world: World, home: Path, gpus: int, faults: list[SimFault], code: int
) -> None:
    world.gpus, world.faults = gpus, faults
    config = write_config(home.parent / "c.yaml", engine_kwargs={"tensor_parallel_size": 2})
    assert nodeinit("run", config, "--journal", "r.jsonl").exit_code == code
    result = nodeinit("diagram", "--watch", "r.jsonl")
    assert result.exit_code == code, result.output


@pytest.mark.parametrize(
    ("state", "left", "code"), [("cancelled", False, 5), ("download", True, 4), ("ready", False, 0)]
)
def test_a_watch_of_what_was_cancelled_or_killed_exits_so(
    journal: Path, state: str, left: bool, code: int
) -> None:
    run = read_run(journal)
    at = attrs.evolve(run.steps[-1], after=attrs.evolve(run.snapshot, state=state))
    assert exit_code_of_run(attrs.evolve(run, steps=[at], left=left)) == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diagram", "--watch", "j.jsonl", "-o", "x.svg"], "write page.html"),
        (["diagram", "--watch", "j.jsonl", "--format", "md"], "write page.html"),
        (["diagram", "--watch", "j.jsonl", "--run", "j.jsonl"], "give one of them"),
        (["run", "--diagram", "x.svg"], "write page.html"),
        (["diagram", "--watch", "."], "cannot be read"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    nodeinit: Nodeinit, world: World, arguments: list[str], said: str
) -> None:
    result = nodeinit(*arguments)
    assert result.exit_code == 2 and said in result.stderr, result.output
    assert not world.connected and not Path("x.svg").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_leaves_its_page(nodeinit: Nodeinit, world: World, home: Path, fails: bool) -> None:
    world.faults = [SimFault("reserve", "permanent")] if fails else []
    result = nodeinit("run", "--diagram", home / "page.html")
    assert result.exit_code == (4 if fails else 0)
    assert re.search(r"page http://127\.0\.0\.1:\d+/, and ", result.stdout)
    page = (home / "page.html").read_text()
    assert 'data-over="true"' in page
    assert ("reserve failed for good" if fails else "The node is released.") in page
    assert world.nothing_left()


def test_a_page_that_cannot_be_written_stops_a_run_before_it_begins(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    (home.parent / "file").write_text("")
    result = nodeinit("run", "--diagram", home.parent / "file" / "page.html")
    assert result.exit_code == 2 and "cannot be written" in result.stderr
    assert not world.connected


def test_a_plan_draws_itself() -> None:
    request = PlacementRequest(({"GPU": 1},) * 2, tensor_parallel_size=2)
    cluster = scripts.cluster(1).now()
    planned = Planned(cluster, ((Replica("m", 1, request), plan(request, cluster)),))
    assert planned._repr_svg_().startswith("<svg ") and ">A1<" in planned._repr_svg_()
