"""Scenarios at random: mostly solvable, mostly with one or two things going wrong.

One builder serves Hypothesis and a plain random generator alike: all it needs is a way to choose.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from nodeinit.clusters.simulated import SimFault
from tests.node.promise import HOOKS, Act, Scenario

BEHAVIOURS = (
    "ok",
    "data",
    "raise",
    "temporary",
    "flaky",
    "later",
    "permanent",
    "garbage",
    "forbidden",
    "config",
    "mutate",
    "exit",
    "hang",
    "stubborn",
    "mode",
    "request",
    "impossible",
    "adopt",
    "adopt_wrong",
    "skip",
)
KINDS = ("temporary", "permanent", "crash", "hang", "slow", "kill", "steal")
FAULTS = [
    *((op, k) for op in ("snapshot", "manifest", "observe", "remove", "stop_fetch") for k in KINDS),
    *((op, kind) for op in ("fetch", "reserve") for kind in (*KINDS, "lie") for _ in range(2)),
]
# A run that goes well starts to fetch at 0.03 s and is ready at about 7 s; then there is a long time.
MOMENTS = [
    *(round(0.005 * n, 3) for n in range(20)),
    *(0.5 * n for n in range(1, 17)),
    *(7 + 0.01 * n for n in range(12)),
    *(10.0 * n for n in range(1, 12)),
    200.0,
    400.0,
]
SIZES = [(1, 1), (2, 1), (2, 2), (4, 2), (1, 3)]

Choose = Callable[[Sequence[Any]], Any]


def build(choose: Choose) -> Scenario:
    """A cluster that usually has room, a request, and what goes wrong."""
    tp, pp = choose(SIZES)
    gpus = [choose([8, 8, 4, 2, 1, 0]) for _ in range(choose([2, 1, 3, 4]))]
    if choose([True] * 7 + [False]) and sum(g // tp for g in gpus) < pp:
        gpus[0] = 8
    node_ids = "abcd"[: len(gpus)]
    theme = choose(["faults", "hooks", "acts", "all", "all", "none"])
    several = (1, 1, 2, 3)
    hooks, faults, acts = {}, [], []
    if theme in ("hooks", "all"):
        for _ in range(choose([1, 1, 2])):
            hooks[choose([*HOOKS, "on_node_download"])] = choose(BEHAVIOURS)
    if theme in ("faults", "all"):
        for _ in range(choose(several)):
            op, kind = choose(FAULTS)
            faults.append(SimFault(op, kind, choose([0, 0, 0, 1, 1, 2, 3]), choose(node_ids)))
    if theme in ("acts", "all"):
        for _ in range(choose(several)):
            what = choose(["cancel", "cancel", "release", "kill", "kill", "steal"])
            acts.append(Act(choose(MOMENTS), what, choose(node_ids)))
    return Scenario(
        gpus=tuple(gpus),
        tp=tp,
        pp=pp,
        hooks=tuple(sorted(hooks.items())),
        asynchronous=choose([True, False]) or "hang" in hooks.values(),
        raise_error=choose([True, True, True, False]),
        faults=tuple(faults),
        acts=tuple(acts),
        heal=choose([True, False]),
        pin=choose(["node", "node", "node", "hosts", "none"]),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """For Hypothesis, which shrinks them."""
    return build(lambda items: draw(st.sampled_from(items)))


def corpus(number: int, seed: int = 0) -> list[Scenario]:
    """So many scenarios, always the same ones."""
    rng = random.Random(seed)
    return [build(rng.choice) for _ in range(number)]
