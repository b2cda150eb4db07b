"""The cluster in memory and a real Ray end the same scenarios alike.

pytest -s -m slow tests/testing/test_real_ray.py              # a dozen
pytest -s -m slow tests/testing/test_real_ray.py --real-ray   # all sixty, each with two callbacks
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]


def run(*program: str) -> tuple[int, list[str]]:
    """A program with a Ray of its own; what it answers and prints."""
    command = [sys.executable, *program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    print(done.stdout)
    return done.returncode, done.stdout.splitlines()


def test_scenarios_end_alike(request: pytest.FixtureRequest) -> None:
    everything = request.config.getoption("--real-ray")
    code, lines = run("-m", "tests.testing.playing", *(["all"] if everything else []))

    assert code == 0
    found = json.loads(lines[-1])
    assert found["differ"] == []
    assert found["played"] == (120 if everything else 12)
    assert found["outcomes"] == ["cancelled", "failed", "ready"]


def test_the_command_line_says_whether_a_callback_ends_alike() -> None:
    program = "from nodeinit.cli.main import main; main()"
    callback = "tests.testing.real_callbacks:Nothing"
    code, lines = run(
        "-c", program, "check", callback, "--profile", "quick", "--real-ray", "3", "--json"
    )

    assert code == 0
    assert json.loads("".join(lines))["real_ray"] == {"ok": True, "scenarios": 3, "differ": []}
