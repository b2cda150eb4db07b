"""The path of a failure on the machine: numbered as in the table, and where it went wrong."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import attrs
import pytest

from nodeinit.testing import CheckReport, Profile, check_callback
from nodeinit.testing.reporting.picture import path_svg
from nodeinit.testing.reporting.registry import render

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def failed() -> CheckReport:
    few = Profile("some", 1, 60, after_failure=60)
    bug = "tests.testing.bugs:RaisesOnTheSecondPlan"
    return check_callback(bug, profile=few, on_fail="return")


def test_every_edge_that_was_taken_is_numbered_once(failed: CheckReport) -> None:
    machine, failure = failed.machine, failed.failures[0]
    assert machine is not None
    root = ET.fromstring(path_svg(machine, failure))
    when = [text.text or "" for text in root.iter(f"{SVG}text") if "when" in text.get("class", "")]

    numbers = [int(number) for number in re.findall(r"#(\d+) at", " ".join(when))]
    taken = [number for number, step in enumerate(failure.events, 1) if step.edge]
    assert sorted(numbers) == taken
    bold = {
        g.get("data-edge") for g in root.iter(f"{SVG}g") if "taken" in g.get("class", "").split()
    }
    assert "idle>config" in bold and "backoff>releasing" not in bold
    (wrong,) = [g for g in root.iter(f"{SVG}g") if "now" in g.get("class", "").split()]
    assert f"✗ went wrong at step {failure.worst + 1}" in "".join(wrong.itertext())


def test_the_page_shows_it_once_for_each_failure_that_has_a_path(failed: CheckReport) -> None:
    page = render(failed, "html")
    paths = [failure for failure in failed.failures if failure.events]

    assert paths and page.count("<svg ") == len(paths)
    assert "<svg " not in render(attrs.evolve(failed, machine=None), "html")
