"""The author's tutorial in `tests/README.md` is what happens: first with its bugs, then mended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodeinit.testing import machine_for  # here: runs inside forget what they import
from nodeinit.testing.checks import CHECKS
from tests.testing.test_plugin import QUICK, QUIET, outcomes

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", README, re.DOTALL)
MENDED = """
import asyncio
from nodeinit import CallbackCtx

class MyCallback:
    async def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        await asyncio.sleep(5)
        return ctx.evolve(custom_data=ctx.custom_data.set("asked", True))
"""

pytest_plugins = ("pytester",)


@pytest.fixture
def author(pytester: pytest.Pytester) -> pytest.Pytester:
    """The files of the tutorial, in a directory of their own."""
    pytester.makepyfile(**dict(BLOCKS))
    pytester.makeconftest(
        "from hypothesis import settings\n"
        "settings.register_profile('few', max_examples=20, database=None, derandomize=True)\n"
        "settings.load_profile('few')\n"
    )
    return pytester


def test_its_files_are_all_here() -> None:
    assert machine_for
    assert ["my_module", "test_contract", "test_runs", "test_with_hypothesis"] == [
        name for name, _ in BLOCKS
    ]


def test_the_bugs_of_the_callback_are_found(author: pytest.Pytester) -> None:
    result = author.runpytest_inprocess(*QUIET, *QUICK, "-rf")

    failed = {line.split(" - ")[0] for line in result.outlines if line.startswith("FAILED ")}
    assert failed >= {
        "FAILED test_contract.py::test_contract[MyCallback-H6-cancel]",
        "FAILED test_contract.py::test_contract[MyCallback-H7-custom_data]",
        "FAILED test_runs.py::test_it_asks_again_for_a_new_plan",
        "FAILED test_with_hypothesis.py::test_nothing_is_lost",
        "FAILED test_with_hypothesis.py::TestMachine::runTest",
    }


def test_mended_it_passes(author: pytest.Pytester) -> None:
    author.makepyfile(my_module=MENDED)
    result = author.runpytest_inprocess(*QUIET, *QUICK, "-rs")

    found = outcomes(result)
    assert "passed" in found and {"passed", "skipped"} >= set(found), result.stdout.str()
    assert len(CHECKS) + 2 + 4 == sum(found.values())
