"""The cluster in memory and a real Ray end the same scenarios alike.

pytest -m slow tests/testing/test_real_ray.py              # a dozen
pytest -m slow tests/testing/test_real_ray.py --real-ray   # all sixty, each with two callbacks
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.ray.stage import RayStage
from nodeinit.testing.differential import compare
from nodeinit.testing.played import SCENARIOS
from nodeinit.testing.scenario import Scenario
from tests.testing import real_callbacks as callbacks

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

CALLBACKS: tuple[tuple[type, dict[str, Any]], ...] = (
    (callbacks.Nothing, {}),
    (callbacks.OwnGroup, {}),
    (callbacks.Asks, {"strategy": "SPREAD"}),
    (callbacks.Nothing, {}),
    (callbacks.Fails, {}),
    (callbacks.HandsOverAtOnce, {"strategy": "PACK"}),
    (callbacks.Asks, {"gpu": 0.4}),
    (callbacks.OwnGroup, {"strategy": "SPREAD"}),
    (callbacks.Fails, {"hook": "on_before_placement"}),
    (callbacks.OwnGroup, {"strategy": "PACK", "gpu": 0.6}),
)


def cases(rounds: int) -> Iterator[tuple[Scenario, type, dict[str, Any]]]:
    """Every scenario, each time with another callback."""
    for turn, (number, scenario) in itertools.product(range(rounds), enumerate(SCENARIOS)):
        callback, kwargs = CALLBACKS[(number + number // 5 + 3 * turn) % len(CALLBACKS)]
        yield scenario, callback, kwargs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))


def test_scenarios_end_alike(request: pytest.FixtureRequest, model: str, tmp_path: Path) -> None:
    everything = request.config.getoption("--real-ray")
    chosen = list(cases(2 if everything else 1))
    if not everything:
        chosen = chosen[2::5]
    found = []
    with RayStage() as stage:
        for number, (scenario, callback, kwargs) in enumerate(chosen):
            store = tmp_path / str(number)
            found.append(
                compare(scenario, callback, stage, source=model, store=store, kwargs=kwargs)
            )
            print(number, found[-1], flush=True)

    outcomes = {ending.real.outcome for ending in found}
    assert {"ready", "failed", "cancelled"} == outcomes
    assert [str(each) for each in found if not each.agree] == []
