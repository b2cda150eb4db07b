"""The runs in here fail by the thousand, on purpose: what the engine logs about it is not wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Silence the engine in the tests that do whole runs; the others look at what it logs."""
    loud = request.path.name not in ("test_promise.py", "test_mutants.py")
    logging.disable(logging.NOTSET if loud else logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
