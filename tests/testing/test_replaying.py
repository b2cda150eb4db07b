"""Scenarios pinned in tests, and failures that are saved and tried again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodeinit import ConfigError
from nodeinit.cli.main import cli
from nodeinit.clusters.simulated import SimFault
from nodeinit.fsm.events import Frame
from nodeinit.testing import Act, CallbackFailed, Other, Scenario, check_callback, replay
from nodeinit.testing.generate import chance
from nodeinit.testing.replaying import Verdict, try_again
from nodeinit.testing.saved import load, save
from nodeinit.testing.scenario_line import from_line, read_scenario, to_line
from tests.testing import bugs, correct, own_machine

BUG, MENDED = "tests.testing.bugs:RaisesOnTheSecondPlan", "tests.testing.correct:Nothing"
LOST = Scenario((2,), acts=(Act(20.0, "kill", "a"),))
Program = Callable[..., Result]


@pytest.fixture
def nodeinit() -> Program:
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A failure that was saved."""
    report = check_callback(BUG, scenarios=[LOST], on_fail="return")
    [path] = save(report, tmp_path)
    return path


# -- a scenario in one line ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "scenario"),
    [
        ("gpus=2", Scenario((2,))),
        ("gpus=2,4 pp=2 heal=no pin=none taken=1,0", Scenario((2, 4), 2, 2, False, "none", (1, 0))),
        ("cancel@1", Scenario(acts=(Act(1.0, "cancel"),))),
        ("kill:b@7.045+2", Scenario(acts=(Act(7.045, "kill", "b", 2),))),
        ("fetch#2=temporary", Scenario(faults=(SimFault("fetch", "temporary", 1),))),
        ("reserve#1=steal:a", Scenario(faults=(SimFault("reserve", "steal", 0, "a"),))),
        (
            "on_before_init#1=permanent",
            Scenario(others=(Other("on_before_init", "permanent"),)),
        ),
    ],
)
def test_a_line_says_a_scenario(line: str, scenario: Scenario) -> None:
    assert scenario == from_line(line) == read_scenario(line)
    assert line == to_line(scenario)


def test_every_scenario_that_is_drawn_has_a_line() -> None:
    for scenario in itertools.islice(chance(3), 500):
        line = to_line(scenario)
        assert scenario == read_scenario(line)
        assert not line.startswith("{")
    odd = Scenario(faults=(SimFault("fetch", "slow", seconds=5.0),))
    assert odd == read_scenario(to_line(odd)), "what has no line is JSON"


@pytest.mark.parametrize(
    "text", ["", "gpus", "gpus=", "gpus=two", "heal=perhaps", "cancel@soon", "fetch#0=slow", "x=1"]
)
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no scenario"):
        read_scenario(text)


# -- pinned in a test ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [LOST, "gpus=2 kill:a@20", LOST.to_json()], ids=type)
def test_a_pinned_scenario_runs_or_raises(how: Scenario | str) -> None:
    trace = replay(how, correct.Nothing)
    assert Frame.READY in trace.states
    assert Frame.FAILED == trace.end.state

    with pytest.raises(CallbackFailed, match="H3-raised"):
        replay(how, bugs.RaisesOnTheSecondPlan)


def test_a_file_knows_its_callback(file: Path) -> None:
    for path in (file, str(file)):
        with pytest.raises(CallbackFailed, match="H3-raised"):
            replay(path)
        assert Frame.FAILED == replay(path, correct.Nothing).end.state


def test_what_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not name one"):
        replay(LOST)
    with pytest.raises(ConfigError, match="cannot be read"):
        replay(tmp_path / "nothing.json")
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}')
    with pytest.raises(ConfigError, match="neither a scenario nor failures"):
        replay(other)
    other.write_text('{"check": "P", "scenario": {"gpux": 1}}')
    with pytest.raises(ConfigError, match="cannot be read"):
        replay(other)


# -- saved and tried again -------------------------------------------------------------------------


def test_what_is_saved_is_read_back(file: Path, tmp_path: Path) -> None:
    [saved] = load(file)

    assert (BUG, "H3-raised", LOST) == (saved.callback, saved.check, saved.scenario)
    report = check_callback(BUG, scenarios=[LOST], on_fail="return")
    assert [file] == save(report, tmp_path), "the same failure has the same name"
    whole = tmp_path / "report.json"
    whole.write_text(json.dumps(report.to_dict()))
    assert [saved] == load(whole)


def test_kwargs_and_machine_are_saved_too(tmp_path: Path) -> None:
    machine = "tests.testing.own_machine:WARM"
    report = check_callback(
        own_machine.TooLate, machine=machine, scenarios=[Scenario((2,))], on_fail="return"
    )
    [path] = save(report, tmp_path)

    [saved] = load(path)
    assert machine == saved.machine
    assert Verdict.FAILED == try_again(saved).verdict
    assert Verdict.FIXED == try_again(saved, own_machine.Careful).verdict


def test_verdicts_and_exit_codes(nodeinit: Program, file: Path) -> None:
    failed = nodeinit("replay", file)
    assert (1, "FAILED  raised KeyError") == (failed.exit_code, failed.stdout.splitlines()[-1][:23])
    assert "~" not in failed.stdout, "it takes the way that was saved"

    fixed = nodeinit("replay", file, MENDED)
    assert 0 == fixed.exit_code
    lines = fixed.stdout.splitlines()
    assert "FIXED  no law is broken in this scenario" == lines[-1]
    assert lines[1].startswith("     1. 0 s  start: idle -> config")
    changed = [line for line in lines if line.startswith("  ~")]
    assert "(was errored: ready -> releasing)" in changed[0]

    other = nodeinit("replay", file, "tests.testing.bugs:ReturnsDict")
    assert 1 == other.exit_code
    assert "H3-raised holds now, but not H1-return" in other.stdout

    error = nodeinit("replay", file, "nowhere:Class")
    assert (2, True) == (error.exit_code, "ERROR  " in error.stdout)


def test_a_property_of_a_test_cannot_be_judged_elsewhere(nodeinit: Program, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    data = {"callback": MENDED, "check": "prop:is_one", "scenario": {"gpus": [2]}}
    path.write_text(json.dumps(data))
    done = nodeinit("replay", path)
    assert (2, True) == (done.exit_code, "is a property of a test" in done.stdout)


def test_verdicts_for_programs(nodeinit: Program, file: Path) -> None:
    [found] = json.loads(nodeinit("replay", file, "--json").stdout)
    assert ("FAILED", "H3-raised") == (found["verdict"], found["check"])
    assert LOST == Scenario.from_dict(found["scenario"])
    assert found["events"][0]["event"] == "start"


def test_a_callback_goes_with_no_journal(nodeinit: Program, tmp_path: Path) -> None:
    journal = tmp_path / "spoilt.jsonl"
    journal.write_text('{"format": 1}\n')
    done = nodeinit("replay", journal, MENDED)
    assert 2 == done.exit_code
    assert "goes with a saved failure" in done.output


def test_check_writes_what_replay_reads(nodeinit: Program, tmp_path: Path) -> None:
    words = ("check", BUG, "--scenario", "gpus=2 kill:a@20", "--report", "text,json,junit")
    done = nodeinit(*words, "--output", tmp_path / "out", "--save", tmp_path / "saved")

    assert 1 == done.exit_code
    assert "breaks H3-raised" in done.stdout
    assert {"report.json", "junit.xml"} == {path.name for path in (tmp_path / "out").iterdir()}
    [path] = (tmp_path / "saved").iterdir()
    assert path.name.startswith("RaisesOnTheSecondPlan-H3-raised-")
    for written in (path, tmp_path / "out" / "report.json"):
        assert 1 == nodeinit("replay", written).exit_code
        assert f"wrote {written}" in done.stderr


def test_what_report_refuses(nodeinit: Program) -> None:
    for words, said in (
        (("--report", "junt"), "did you mean 'junit'"),
        (("--report", "text,html"), "--output DIR"),
        (("--report", "html", "--json"), "--output DIR"),
    ):
        done = nodeinit("check", BUG, "--profile", "quick", *words)
        assert 2 == done.exit_code
        assert said in done.stderr
    one = nodeinit("check", BUG, "--scenario", "gpus=2", "--report", "html")
    assert one.stdout.startswith("<!doctype html>")


def test_mutate_lists_what_survives(nodeinit: Program) -> None:
    done = nodeinit("check", "tests.testing.mutable:Labels", "--mutate")
    assert 0 == done.exit_code
    assert "mutants killed, 1 line(s) that no check constrains" in done.stdout
    found = json.loads(
        nodeinit("check", "tests.testing.mutable:Labels", "--mutate", "--json").stdout
    )
    assert found["mutants"] == found["killed"] + len(found["survivors"])
    broken = nodeinit("check", "tests.testing.mutable:Broken", "--mutate")
    assert (1, True) == (broken.exit_code, "breaks H3-raised" in broken.stdout)
