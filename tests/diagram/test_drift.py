"""The committed diagrams are what the code draws today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from diagrams import make, runs

from nodeinit.diagram.files import check
from nodeinit.fsm.journal import digest
from nodeinit.fsm.registry import machines
from nodeinit.fsm.replay import read_journal
from nodeinit_machines.node_init import NODE_INIT

DIAGRAMS = Path(__file__).parents[2] / "diagrams"


def test_the_committed_diagrams_are_up_to_date() -> None:
    drifted = [str(path.relative_to(DIAGRAMS)) for path in make.drifted()]

    assert drifted == [], "run `python -m diagrams.make` and look at what changed"


def test_there_is_nothing_of_a_machine_that_is_gone() -> None:
    # Ours only: whoever works on this may have machines of their own installed beside them.
    ours = [
        name for name, point in machines().items() if point.module.startswith("nodeinit_machines.")
    ]

    assert ours
    assert check(DIAGRAMS, ours) == []
    made = {path for path in make.wanted() if path.parent != DIAGRAMS}
    assert {
        path for folder in ("runs", "changes") for path in (DIAGRAMS / folder).iterdir()
    } == made


@pytest.mark.parametrize("name", runs.RUNS)
def test_the_runs_are_of_this_machine(name: str) -> None:
    header, records, torn = read_journal(DIAGRAMS / "runs" / f"{name}.jsonl")

    assert header["definition"] == digest(NODE_INIT) and not torn
    last = [record for record in records if "to" in record][-1]
    assert last["to"] == ("failed" if name == "failed" else "released")


@pytest.mark.parametrize("name", ["transitions", "python-statemachine"])
def test_the_pictures_of_others_are_of_this_machine(name: str) -> None:
    drawn = (DIAGRAMS / f"compared/{name}.svg").read_text()
    said = re.search(r"<!-- (\S+) ([\d.]+), machine (\w+) -->", drawn)

    assert said and said[1] == name
    assert said[3] == digest(NODE_INIT), "run `python diagrams/compared/draw.py` and look at them"
    assert f"**{name} {said[2]}**" in (DIAGRAMS / "README.md").read_text()


def test_every_picture_is_shown_and_every_link_leads_somewhere() -> None:
    page = (DIAGRAMS / "README.md").read_text()
    links = set(re.findall(r"\]\(([^)#]+)\)", page))

    assert [link for link in links if not (DIAGRAMS / link).exists()] == []
    pictures = {str(path.relative_to(DIAGRAMS)) for path in DIAGRAMS.rglob("*.svg")}
    assert pictures <= links
