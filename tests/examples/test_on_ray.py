"""Examples that make placement groups of their own: they give them back whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What came of each case; one Ray for all of them, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.examples.own_groups", str(tmp_path_factory.mktemp("bench"))],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("case", "hosts"), [("success", 2), ("everything of its own", 2)])
def test_a_group_of_ones_own_is_adopted_and_left_to_its_owner(
    results: Any, case: str, hosts: int
) -> None:
    found = results[case]
    assert (found["state"], found["hosts"]) == ("released", hosts)
    assert found["groups"] == 1  # nodeinit does not remove what it did not make
    assert found["groups after close"] == 0


@pytest.mark.parametrize(
    ("case", "state", "reason"),
    [
        ("a later failure", "failed", "too late to be sorry"),
        ("no room", "failed", "no room for 5 x 1 GPU, SPREAD within 1 s"),
        ("a cancel in the hook", "cancelled", "cancelled"),
        ("a group that is too small", "failed", "bundle_count"),
        ("no model", "failed", "nowhere"),
    ],
)
def test_what_fails_leaves_no_group(results: Any, case: str, state: str, reason: str) -> None:
    found = results[case]
    assert found["state"] == state
    assert reason in found["reason"]
    assert found["groups"] == 0


def test_nothing_half_copied_is_left(results: Any) -> None:
    assert results["left in the model's directory"] == ["model", "model-copied", "store"]
