"""How much of a public trace's GPUs each rule allocates. `pytest -m bench -s … --openb DIR`."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

from tests.bench.openb import (
    WHOLE,
    Node,
    Pod,
    arrivals,
    demand,
    read_nodes,
    read_pods,
    with_more_multi_gpu,
)
from tests.bench.placers import (
    FragmentationGradientDescent,
    Placer,
    Random,
    Ranked,
    best_fit,
    ray_scorer,
    tight,
)
from tests.bench.planned import Planned

pytestmark = pytest.mark.bench

SEEDS = (42, 43, 44)

CONTENDERS: dict[str, Callable[[Sequence[Node], Sequence[Pod], random.Random], Placer]] = {
    "random": lambda nodes, pods, rng: Random(nodes, rng),
    "Ray's scorer": lambda nodes, pods, rng: Ranked(nodes, ray_scorer),
    "best fit": lambda nodes, pods, rng: Ranked(nodes, best_fit),
    "tight": lambda nodes, pods, rng: Ranked(nodes, tight),
    "FGD": lambda nodes, pods, rng: Ranked(nodes, FragmentationGradientDescent(pods)),
    "ours": lambda nodes, pods, rng: Planned(nodes),
}

PUBLISHED = {
    "default": {"random": 87.47, "best fit": 93.08, "FGD": 95.39},
    "multigpu20": {"random": 88.69, "best fit": 93.93, "FGD": 95.65},
}
"""Allocation at 130 % demand, percent, mean of 10 seeds: the artefact's expected results."""


@attrs.frozen
class Outcome:
    """Allocated GPUs in percent of all, when 100 and 130 % of them have been asked for.

    `refused` is the part, in percent, that had been refused at 100 % of the pods with so many GPUs.
    """

    at_100: float
    at_130: float
    refused: dict[int, float]


def run(placer: Placer, pods: Sequence[Pod], capacity: int) -> Outcome:
    """Place pods in order; each is refused where it does not fit at once."""
    arrived = placed = 0
    at_100: float | None = None
    shares: dict[int, float] = {}
    came, refused = Counter[int](), Counter[int]()
    for pod in pods:
        arrived += pod.demand
        came[pod.gpus] += 1
        if placer.place(pod):
            placed += pod.demand
        else:
            refused[pod.gpus] += 1
        if at_100 is None and arrived >= capacity:
            at_100 = 100 * placed / capacity
            shares = {gpus: 100 * refused[gpus] / count for gpus, count in came.items()}
    assert at_100 is not None
    return Outcome(at_100, 100 * placed / capacity, shares)


def compare(directory: Path, pods: Sequence[Pod], seed: int | None) -> dict[str, Outcome]:
    """All rules on the same arrivals: shuffled by a seed, or in the order of the list."""
    capacity = demand_of_all(read_nodes(directory))
    order = None if seed is None else random.Random(seed)
    arriving = arrivals(pods, capacity * 13 // 10, order)
    return {
        name: run(
            make(read_nodes(directory), arriving, random.Random(seed or 0)), arriving, capacity
        )
        for name, make in CONTENDERS.items()
    }


def demand_of_all(nodes: Sequence[Node]) -> int:
    return sum(sum(node.free) for node in nodes)


def show(title: str, runs: Sequence[dict[str, Outcome]]) -> None:
    """The mean over runs, and the worst of them."""
    print(f"\n{title}: GPUs allocated of all, mean (worst) of {len(runs)}")
    print(f"  {'':14}{'100 % demand':>16}{'130 % demand':>16}   8-GPU pods refused   4-GPU")
    for name in CONTENDERS:
        mine = [outcomes[name] for outcomes in runs]
        cells = [
            f"{statistics.mean(values):.2f} ({min(values):.2f})"
            for values in ([o.at_100 for o in mine], [o.at_130 for o in mine])
        ]
        eight, four = (statistics.mean(o.refused.get(n, 0) for o in mine) for n in (8, 4))
        print(f"  {name:14}{cells[0]:>16}{cells[1]:>16}{eight:>17.1f} %{four:>9.1f} %")


@pytest.mark.parametrize("name", ["default", "multigpu20", "multigpu30"])
def test_the_lists_of_the_trace(trace: Path, name: str) -> None:
    """Target: never below best fit; and what is published of the others comes out again."""
    pods = read_pods(trace, name)
    runs = [compare(trace, pods, seed) for seed in SEEDS]
    show(name, runs)
    for rule, published in PUBLISHED.get(name, {}).items():
        found = statistics.mean(outcomes[rule].at_130 for outcomes in runs)
        print(f"  {rule}: published {published:.2f}, here {found:.2f}")
        assert abs(found - published) <= 0.7, rule
    for outcomes in runs:
        assert_never_below_best_fit(outcomes)


def test_half_of_the_demand_in_pods_of_several_gpus(trace: Path) -> None:
    """Target: at least 96 % allocated at 100 % demand. The seed also draws the further pods."""
    default = read_pods(trace, "default")
    runs = [
        compare(trace, with_more_multi_gpu(default, 0.5, random.Random(seed)), seed)
        for seed in SEEDS
    ]
    show("multigpu50, drawn again from default", runs)
    for outcomes in runs:
        assert_never_below_best_fit(outcomes)
        assert outcomes["ours"].at_100 >= 96.0


def test_in_the_order_of_the_list(trace: Path) -> None:
    """As the pods were traced, so without any luck of a seed."""
    outcomes = compare(trace, read_pods(trace, "default"), None)
    show("default, in the order of the list", [outcomes])
    assert_never_below_best_fit(outcomes)


def assert_never_below_best_fit(outcomes: dict[str, Outcome]) -> None:
    ours, best = outcomes["ours"], outcomes["best fit"]
    assert ours.at_100 >= best.at_100
    assert ours.at_130 >= best.at_130


@pytest.mark.parametrize(("name", "added"), [("multigpu20", 1_000), ("multigpu30", 2_000)])
def test_the_lists_were_made_as_ours_is(trace: Path, name: str, added: int) -> None:
    """`default`, pod by pod, and then nothing but twins of its pods of several GPUs."""
    default, made = read_pods(trace, "default"), read_pods(trace, name)
    more = made[len(default) :]
    assert made[: len(default)] == default
    assert demand(more) == added * WHOLE
    assert set(more) <= {pod for pod in default if pod.gpus > 1}
