"""The pytest plugin: a test for each check of a callback, and nothing for who does not use it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nodeinit.testing import callback_checks  # here: runs inside forget what they import
from nodeinit.testing.checks import CHECKS

pytest_plugins = ("pytester",)

INSTALLED = any(e.value == "nodeinit.testing.plugin" for e in entry_points(group="pytest11"))
PLUGIN = [] if INSTALLED else ["-p", "nodeinit.testing.plugin"]
QUIET = ["-p", "no:cacheprovider", "--strict-markers", *PLUGIN]
QUICK = ["--callback-profile", "quick"]

CALLBACKS = """
from nodeinit.testing import Profile, Scenario, ensures, finally_, sometimes

FEW = Profile("few", 1, 30)

class Good:
    def on_before_init(self, ctx):
        return None

class Other(Good):
    pass

class Bad:
    def on_before_init(self, ctx):
        return {}

class Worse(Bad):
    pass

class Counted(Good):
    made = 0
    def __init__(self, often=1):
        type(self).made += 1

@finally_(state="ready")
def is_ready(ctx):
    assert ctx.placement is not None

@sometimes("a second plan")
def again(ctx):
    return ctx.attempt > 1
"""


@pytest.fixture
def here(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with callbacks in it, importable from there alone."""
    pytester.makepyfile(own_callbacks=CALLBACKS)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(here: pytest.Pytester, *options: str, test: str = "") -> pytest.RunResult:
    if test:
        here.makepyfile(
            "from own_callbacks import *\nfrom nodeinit.testing import callback_checks\n" + test
        )
    return here.runpytest_inprocess(*QUIET, *options)


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    return {name: n for name, n in result.parseoutcomes().items() if name != "warnings"}


# -- named on the command line or in the settings --------------------------------------------------


def test_callbacks_that_are_named_need_no_test_file(here: pytest.Pytester) -> None:
    both = ["--callback", "own_callbacks:Bad", "--callback", "own_callbacks:Good"]
    result = run(here, *both, *QUICK, "-v", f"--junit-xml={here.path / 'found.xml'}")

    result.stdout.fnmatch_lines(
        [
            "nodeinit *: checks *, profile quick, seed 0",
            f"*collected {2 * len(CHECKS)} items",
            "callbacks::own_callbacks:Bad[[]H1-return[]] FAILED*",
            "callbacks::own_callbacks:Good[[]H1-return[]] PASSED*",
            "*own_callbacks:Bad H1-return*",
            "own_callbacks:Bad breaks H1-return: *",
            "*at own_callbacks.py:14    return {}",
            "1 failed: own_callbacks:Bad: * sequences, *",
            "no law is broken: own_callbacks:Good: * sequences, *",
        ]
    )
    # M5: a callback that always fails reaches little, and a quick check perhaps not everything.
    found = outcomes(result)
    assert (1, 2 * len(CHECKS) - 1) == (found["failed"], found["passed"] + found["skipped"])
    assert 1 <= found["skipped"] <= 2
    cases = ElementTree.parse(here.path / "found.xml").findall(".//testcase")
    [failed] = [case for case in cases if case.find("failure") is not None]
    assert ("callbacks", "own_callbacks:Bad[H1-return]") == (
        failed.get("classname"),
        failed.get("name"),
    )
    told = failed.find("properties/property")
    assert told is not None and str(told.get("value")).startswith("1 failed: own_callbacks:Bad")


def test_they_are_chosen_as_any_test_is(here: pytest.Pytester) -> None:
    here.makeini("[pytest]\ncallback_checks =\n    own_callbacks:Bad\n    own_callbacks:Good\n")
    some = run(here, *QUICK, "-k", "own_callbacks:Bad[H1-return]", "-q")
    none = run(here, "-m", "not callback_checks", test="def test_own(): pass")
    [own] = here.path.glob("test_*.py")
    of_a_file, of_a_folder = run(here, str(own)), run(here, *QUICK, "--collect-only", ".")

    assert {"failed": 1, "deselected": 2 * len(CHECKS) - 1} == outcomes(some)
    assert {"passed": 1, "deselected": 2 * len(CHECKS)} == outcomes(none)
    assert "sequences" not in none.stdout.str()
    assert {"passed": 1} == outcomes(of_a_file), "the settings are for whole runs"
    of_a_folder.stdout.fnmatch_lines([f"*collected {2 * len(CHECKS) + 1} items"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:Good", "*cannot import 'nowhere'*"),
        ("own_callbacks:Gud", "*'own_callbacks' has no 'Gud'*"),
        ("own_callbacks:FEW", "*own_callbacks:FEW: has no hook of this machine*"),
    ],
)
def test_what_is_no_callback_is_an_error_of_collection(
    here: pytest.Pytester, name: str, said: str
) -> None:
    result = run(here, "--callback", name)

    assert pytest.ExitCode.INTERRUPTED == result.ret
    result.stdout.fnmatch_lines(["*ERROR collecting callbacks*", said, f"ERROR callbacks::{name}"])
    assert "Traceback" not in result.stdout.str()


def test_what_is_inconclusive_never_passes(here: pytest.Pytester) -> None:
    here.makepyfile(own_profiles="from own_callbacks import *\nclass Never(Bad): pass")
    m5 = ["--callback", "own_callbacks:Bad", "-k", "M5", "-rs"]

    skipped, failed = run(here, *m5, *QUICK), run(here, *m5, "--callback-profile", "ci")

    assert {"skipped": 1, "deselected": len(CHECKS) - 1} == outcomes(skipped)
    skipped.stdout.fnmatch_lines(["SKIPPED*own_callbacks:Bad: M5 is inconclusive: not reached: *"])
    assert {"failed": 1, "deselected": len(CHECKS) - 1} == outcomes(failed)
    failed.stdout.fnmatch_lines(["own_callbacks:Bad: M5 is inconclusive: not reached: *"])


# -- marked functions ------------------------------------------------------------------------------


def test_a_marked_function_is_a_test_of_each_check(here: pytest.Pytester) -> None:
    result = run(
        here,
        "-v",
        test="""
@callback_checks(Good, Bad, profile=FEW, properties=[is_ready])
def test_contract(check):
    check()
""",
    )

    each = len(CHECKS) + 1
    assert {"failed": 1, "skipped": 2, "passed": 2 * each - 3} == outcomes(result)
    result.stdout.fnmatch_lines(
        [
            "nodeinit *: checks *, profile default, seed 0",
            "*::test_contract[[]Good-prop:is_ready[]] PASSED*",
            "*::test_contract[[]Bad-H1-return[]] FAILED*",
            "E*own_callbacks:Bad breaks H1-return: *",
            "no law is broken: own_callbacks:Good: *",
            "1 failed: own_callbacks:Bad: *",
        ]
    )
    assert "items.py" not in result.stdout.str(), "the traceback ends in the author's test"


def test_all_checks_share_one_exploration(here: pytest.Pytester) -> None:
    result = run(
        here,
        test="""
@callback_checks(Counted, scenarios=[Scenario()])
def test_contract(check):
    check()

@callback_checks(Counted, scenarios=[Scenario()])
def test_again(check):
    check()

@callback_checks(Counted, scenarios=[Scenario()], kwargs={"often": 2})
def test_of_another(check):
    before = Counted.made
    check()
    if check.id != "H1-return":
        assert Counted.made == before

def test_at_the_end():
    assert Counted.made < 40
""",
    )
    assert 0 == outcomes(result).get("failed", 0)


def test_expected_failures_are_xfails_and_stale_ones_warn(here: pytest.Pytester) -> None:
    test = """
@callback_checks(
    Bad,
    profile=FEW,
    properties=[again],
    expected_failures={"H1-return": "next week", "H4-hang": "was slow", "M5": "always fails"},
)
def test_contract(check):
    check()
"""
    result = run(here, "-rxX", test=test)

    assert {"xfailed": 2, "xpassed": 1, "skipped": 0, "failed": 1} == {
        name: outcomes(result).get(name, 0) for name in ("xfailed", "xpassed", "skipped", "failed")
    }
    said = result.stdout.str()
    assert "UserWarning: own_callbacks:Bad: H4-hang is expected to fail, but did not" in said
    assert 1 == said.count("UserWarning")
    assert "test_contract[Bad-H1-return] - next week" in said


def test_the_command_line_goes_before_the_decorator(here: pytest.Pytester) -> None:
    test = """
@callback_checks(Good, profile="nightly", seed=3, scenarios=[Scenario()])
def test_contract(check):
    check()
"""
    result = run(here, *QUICK, "--callback-seed=7", "-k", "H1-return", test=test)

    result.stdout.fnmatch_lines(
        ["*profile quick, seed 7", "no law is broken*profile quick, seed 7)"]
    )


def test_what_is_marked_in_vain_is_an_error(here: pytest.Pytester) -> None:
    test = "@callback_checks(Good)\ndef test_contract():\n    pass"
    result = run(here, test=test)

    result.stdout.fnmatch_lines(["*test_contract needs the argument `check`, and to call it*"])
    assert {"errors": 1} == outcomes(result)
    with pytest.raises(TypeError, match="needs a callback"):
        callback_checks()


def test_several_decorators_and_classes(here: pytest.Pytester) -> None:
    test = """
@callback_checks(Good, scenarios=[Scenario()])
@callback_checks(Other, scenarios=[Scenario()], properties=[is_ready])
class TestContract:
    def test_it(self, check):
        check()

    def test_something_else(self):
        pass
"""
    result = run(here, "-v", test=test)

    assert 2 * (len(CHECKS) - 1) + 2 == outcomes(result)["passed"]
    result.stdout.fnmatch_lines(["*::TestContract::test_it[[]Other-prop:is_ready[]] PASSED*"])


# -- beside other plugins --------------------------------------------------------------------------


GROUPED = """
from own_callbacks import *
from nodeinit.testing import callback_checks

@callback_checks(Good, Bad, scenarios=[Scenario()])
def test_contract(check):
    with open("ran.txt", "a") as file:
        file.write(f"{check}\\n")
    check()
"""


def test_under_xdist_every_callback_is_told_once(here: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    here.makepyfile(GROUPED)
    named = ["--callback=own_callbacks:Worse", *QUICK]
    result = here.runpytest_subprocess(*QUIET, "-n2", *named)

    assert {"failed": 2, "skipped": 3, "passed": 3 * len(CHECKS) - 5} == outcomes(result)
    assert 3 == len([line for line in result.outlines if " sequences, " in line])
    ran = (here.path / "ran.txt").read_text().splitlines()
    assert 2 * len(CHECKS) == len(set(ran))


def test_checks_of_a_callback_are_a_group_for_xdist(here: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    path = here.makepyfile(GROUPED)
    items, _ = here.inline_genitems(path, *QUIET, "--callback=own_callbacks:Good")

    groups = [mark.args[0] for item in items for mark in item.iter_markers("xdist_group")]
    assert ["own_callbacks:Good", "own_callbacks:Bad", "own_callbacks:Good"] == [
        name for name, _ in itertools.groupby(groups)
    ]
    assert 3 * len(CHECKS) == len(groups) == len(items)


UNUSED = """
import sys
import pytest

code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[1:]])
heavy = ("nodeinit.testing.", "nodeinit.context", "hypothesis", "attr", "ray", "pyrsistent")
found = sorted(m for m in sys.modules if m.startswith(heavy))
print(code, found)
"""


def test_a_suite_that_does_not_use_it_does_not_pay_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_own(tmp_path):\n    assert tmp_path")
    program = [sys.executable, "-c", UNUSED, "-p", "no:hypothesispytest", *PLUGIN]
    ran = subprocess.run(program, capture_output=True, text=True, check=True, cwd=pytester.path)

    told = ran.stdout.splitlines()
    assert "0 ['nodeinit.testing.plugin']" == told[-1]
    assert "1 passed" in told[-2]
    assert not any("nodeinit" in line for line in told[:-1])


def test_the_entry_point_is_declared() -> None:
    root = Path(__file__).parents[2]
    declared = (root / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nnodeinit = "nodeinit.testing.plugin"' in declared
