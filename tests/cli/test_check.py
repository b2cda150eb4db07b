"""`nodeinit check`: what it prints and how it exits."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest
from click.testing import Result

from nodeinit.testing.checks import CHECKS


def test_a_callback_that_is_right(nodeinit: Callable[..., Result]) -> None:
    done = nodeinit("check", "tests.testing.correct:Nothing", "--profile", "quick")

    assert 0 == done.exit_code, done.output
    assert "no law is broken" in done.stdout


def test_json_of_one_that_is_not_and_the_line_that_shows_it_again(
    nodeinit: Callable[..., Result],
) -> None:
    done = nodeinit("check", "tests.testing.bugs:ReturnsDict", "--profile", "quick", "--json")

    assert 1 == done.exit_code
    found = json.loads(done.stdout)
    assert (False, "tests.testing.bugs:ReturnsDict") == (found["ok"], found["callback"])
    assert set(CHECKS) == set(found["checks"])
    [failure] = found["failures"]
    assert "H1-return" == failure["check"]
    assert {"events", "scenario", "message", "hint", "reproduce"} <= set(failure)
    again = nodeinit(*shlex.split(failure["reproduce"])[1:])
    assert 1 == again.exit_code
    assert "breaks H1-return" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tests.testing.correct:Nothin"], "did you mean 'Nothing'?"),
        (["no_such_module:X"], "cannot import"),
        (["tests.testing.correct:Nothing", "--kwargs", "{"], "is not JSON"),
        (["tests.testing.correct:Nothing", "--kwargs", "[]"], "is not a JSON object"),
        (["tests.testing.correct:Nothing", "--kwargs", '{"a": 1}'], "unexpected keyword"),
        (["tests.testing.correct:Nothing", "--scenario", "{"], "is no scenario"),
        (["tests.testing.correct:Nothing", "--profile", "forever"], "forever"),
    ],
)
def test_what_cannot_be_run(
    nodeinit: Callable[..., Result], arguments: list[str], said: str
) -> None:
    done = nodeinit("check", *arguments)

    assert 2 == done.exit_code
    assert said in done.stderr
