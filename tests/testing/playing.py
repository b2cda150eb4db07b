"""Plays scenarios on a real Ray and in memory; prints how each ended, and all that differ in the end.

    python -m tests.testing.playing [all]

A program of its own: a process has one Ray.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.ray.stage import RayStage
from nodeinit.testing.differential import compare
from nodeinit.testing.played import SCENARIOS
from nodeinit.testing.scenario import Scenario
from tests.testing import real_callbacks as callbacks

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


def main(everything: bool) -> None:
    chosen = list(cases(2)) if everything else list(cases(1))[2::5]
    found = []
    with tempfile.TemporaryDirectory() as place, RayStage() as stage:
        model = str(make_tiny_model(Path(place) / "model"))
        for number, (scenario, callback, kwargs) in enumerate(chosen):
            store = Path(place) / str(number)
            found.append(
                compare(scenario, callback, stage, source=model, store=store, kwargs=kwargs)
            )
            print(number, found[-1], flush=True)
    print(
        json.dumps(
            {
                "played": len(found),
                "outcomes": sorted({each.real.outcome for each in found}),
                "differ": [str(each) for each in found if not each.agree],
            }
        )
    )


if __name__ == "__main__":
    main("all" in sys.argv[1:])
