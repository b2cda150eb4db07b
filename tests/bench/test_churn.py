"""Replicas that come and go: what three ways of asking Ray for them lead to. `pytest -m bench -s`."""

from __future__ import annotations

import random

import pytest

from tests.bench.churn import MEAN_GPUS, PER_HOST, Packs, Plans, Tally, Way, churn, draw

pytestmark = pytest.mark.bench

LOADS = (0.70, 0.85)
PACK, STRICT, OURS = "Ray's PACK", "STRICT_PACK when PP=1", "planned"


def compare(gpus: int, load: float) -> dict[str, Tally]:
    """The three ways on the same arrivals."""
    hosts = gpus // PER_HOST
    measured = max(1_500, int(2 * gpus / MEAN_GPUS))
    arrivals, warm = draw(hosts, load, measured, random.Random(gpus))
    ways: dict[str, Way] = {
        PACK: Packs(hosts, random.Random(1), strict=False),
        STRICT: Packs(hosts, random.Random(1), strict=True),
        OURS: Plans(hosts),
    }
    return {name: churn(way, arrivals, warm) for name, way in ways.items()}


def show(gpus: int, load: float, tallies: dict[str, Tally]) -> None:
    print(f"\n{gpus} GPUs, load {load:.2f}, {tallies[OURS].arrived} replicas")
    print(f"  {'':24}{'TP groups split':>16}{'8+ GPUs pending':>17}{'idle hosts':>12}{'placed':>9}")
    for name, tally in tallies.items():
        print(
            f"  {name:24}{tally.split / tally.placed:>16.1%}"
            f"{tally.large_pending / tally.large:>17.1%}"
            f"{tally.idle / tally.arrived:>12.2f}{tally.placed / tally.arrived:>9.1%}"
        )


@pytest.mark.parametrize("gpus", [32, 64, 512, 4_096, 10_000])
@pytest.mark.parametrize("load", LOADS)
def test_replicas_that_come_and_go(gpus: int, load: float) -> None:
    """Target: no tensor-parallel group of ours split, where Ray's PACK splits 10 % and more."""
    tallies = compare(gpus, load)
    show(gpus, load, tallies)
    ours = tallies[OURS]
    assert ours.split == 0
    assert tallies[PACK].split > 0.05 * tallies[PACK].placed
    assert ours.large_pending < tallies[STRICT].large_pending
    assert ours.idle > max(tallies[PACK].idle, tallies[STRICT].idle)


@pytest.mark.parametrize("gpus", [32, 64, 512])
def test_the_other_side_a_cluster_that_is_asked_for_all_it_has(gpus: int) -> None:
    """At load 1.0 PACK places large replicas by splitting them, and ours leaves them pending."""
    tallies = compare(gpus, 1.0)
    show(gpus, 1.0, tallies)
    assert tallies[OURS].split == 0
