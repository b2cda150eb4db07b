"""Whatever the tests wrote into a journal has to replay to the same end; and the Ray they share.

A test that spoils a journal on purpose calls it `spoilt…jsonl`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nodeinit.errors import JournalError, NodeInitError
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.replay import read_journal, replay
from tests.shared_ray import STANDARD

if TYPE_CHECKING:
    from nodeinit.ray import RayCluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-ray",
        action="store_true",
        help="play all scenarios of tests/testing/test_real_ray.py, not a dozen",
    )


@pytest.fixture(scope="session")
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayCluster]:
    """One real Ray with several hosts for all tests of a process: a start takes seconds.

    A test that needs another `Layout` names it as the parameter; then this one ends first.
    """
    from nodeinit.ray import RayCluster

    layout = getattr(request, "param", STANDARD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODEINIT_STORE", str(tmp_path_factory.mktemp("default store")))
        for name, value in layout.environment.items():
            patch.setenv(name, value)
        cluster = RayCluster.simulated(hosts=layout.hosts, gpus_per_host=layout.gpus)
        yield cluster
        asyncio.run(cluster.close())


@pytest.fixture(scope="session", autouse=True)
def every_journal_replays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the very end, replay all journals of installed machines that lie about."""
    yield
    wrong = []
    for path in tmp_path_factory.getbasetemp().rglob("*.jsonl"):
        problem = _problem(path)
        if problem:
            wrong.append(f"{path}: {problem}")
    assert wrong == []


def _problem(path: Path) -> str | None:
    try:
        header, records, _ = read_journal(path)
        machine = load_machine(header["machine"])
    except (JournalError, NodeInitError, KeyError):
        return None  # spoilt on purpose, or of a machine of the test's own
    try:
        again = replay(path, machine)
    except JournalError as error:
        return None if "spoilt" in path.name else str(error)
    if again.drift:
        return None if "spoilt" in path.name else again.drift[0]
    if records and again.snapshot is not None and again.snapshot.state != records[-1]["to"]:
        return f"ends in {again.snapshot.state}, not in {records[-1]['to']}"
    return None
