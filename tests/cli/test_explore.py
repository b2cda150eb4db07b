"""`nodeinit explore`: what it prints and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

Nodeinit = Callable[..., Result]
SMALL = ("--worlds", "1", "--retries", "0")


def test_a_good_callback_is_explored_to_the_end(nodeinit: Nodeinit) -> None:
    done = nodeinit("explore", "tests.testing.correct:Nothing", *SMALL)

    assert 0 == done.exit_code, done.output
    assert "  complete: every sequence, of any length" in done.stdout
    assert "config done -> download" in done.stdout
    assert "never  " in done.stdout


def test_a_bug_is_told_with_the_command_that_shows_it(nodeinit: Nodeinit) -> None:
    done = nodeinit("explore", "tests.testing.bugs:ReturnsDict", *SMALL)

    assert 1 == done.exit_code
    assert "breaks H1-return" in done.stdout
    assert "nodeinit check tests.testing.bugs:ReturnsDict --scenario" in done.stdout


def test_for_programs(nodeinit: Nodeinit) -> None:
    done = nodeinit("explore", "tests.testing.correct:Nothing", *SMALL, "--depth", "1", "--json")
    found = json.loads(done.stdout)

    assert found["ok"]
    assert not found["complete"]
    assert found["sequences"] == 1 + found["points"]
    assert {"config", "done"} <= {
        word for edge in found["visits"] for word in edge.values() if word
    }


def test_what_is_no_callback_is_refused(nodeinit: Nodeinit) -> None:
    done = nodeinit("explore", "tests.testing.correct:NotThere")

    assert 2 == done.exit_code
    assert "NotThere" in done.stderr
