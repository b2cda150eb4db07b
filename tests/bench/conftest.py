"""What the benches are given from outside."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--openb",
        metavar="DIR",
        help="directory with the csv files of the public GPU trace openb, see tests/bench/openb.py",
    )
    parser.addoption(
        "--peer-python",
        metavar="FILE",
        help="a Python with boto3, pyarrow and Ray, see tests/bench/test_downloads.py",
    )


@pytest.fixture(scope="session")
def trace(pytestconfig: pytest.Config) -> Path:
    """The directory of the trace. It is not part of the project: without it, these are skipped."""
    given = pytestconfig.getoption("--openb", default=None)
    if given is None:
        pytest.skip("needs the public trace: pytest -m bench -s tests/bench --openb DIR")
    directory = Path(given)
    assert (directory / "openb_node_list_gpu_node.csv").is_file(), f"no trace in {directory}"
    return directory
