"""What is said of buggy callbacks: short enough to be read, with the line that is to blame."""

from __future__ import annotations

import warnings

import pytest

from nodeinit.testing import Failure, Profile, check_callback
from tests.mutants.corpus import MUTANTS, Mutant

SOME = Profile("reports", 4, 250, after_failure=60)
# The law is broken by what is not there any more, or by what an earlier run left in the module.
NO_LINE = {("RemovesTheNodesOwnGroup", "R1-ready")}
QUICK = {
    "SwallowsCancel",
    "JoinsWithoutCancelling",
    "RemembersItsGroupTooLate",
    "RemovesWhateverIsThere",
    "KnowsOneWayOnly",
    "CountsRunsInTheModule",
}


def failures_of(mutant: Mutant) -> tuple[str, tuple[Failure, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coroutines and tasks that the corpus leaves behind
        report = check_callback(mutant.cls, kwargs=mutant.kwargs, profile=SOME, on_fail="return")
    return report.callback, report.failures


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, marks=[] if mutant.name in QUICK else pytest.mark.slow)
        for mutant in MUTANTS
    ],
    ids=lambda mutant: mutant.name,
)
def test_a_report_is_short_and_has_the_line(mutant: Mutant) -> None:
    callback, failures = failures_of(mutant)

    assert failures or mutant.name not in QUICK
    for failure in failures:
        text = failure.text(callback)
        lines = text.splitlines()
        assert 25 >= len(lines), text
        assert 110 >= max(map(len, lines)), text
        assert failure.line or (mutant.name, failure.check) in NO_LINE, text
        if failure.line:
            assert f"  at {failure.line}    {failure.source}"[:100] in text
            assert failure.source, "the text of the line is known too"
        assert failure.hint in text.replace("\n    ", " ")
        assert f"def test_{mutant.name.lower()}" in text
