"""The planner against a solver that proves its answers: both say the same of what fits and what not.

Some hundred cases; `NODEINIT_RUNS` sets how many.
"""

from __future__ import annotations

import itertools
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host, PlacementPlan
from tests.placement.exact import feasible

RUNS = int(os.environ.get("NODEINIT_RUNS", "150"))
KINDS, ZONES = ("H100", "A100"), ("a", "b", "c")
SHARES = (UNIT, UNIT, UNIT, 6_000, 5_000, 3_334)
STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

# What is left of a single GPU: mostly all or nothing, or a slice of somebody's is gone.
_LEFT = st.sampled_from([UNIT] * 7 + [0] * 2 + [6_666, 4_000, 5_000, 3_333])
_GPUS = st.sampled_from([8, 4, 8, 4, 2, 1, 0])
_CPU = st.sampled_from([16] * 5 + [8, 6, 3, 1, -1])


@st.composite
def hosts(draw: st.DrawFn, name: str) -> Host:
    """A host each of whose GPUs is known, or one whose GPUs are free or taken as a whole."""
    kind, zone = draw(st.sampled_from(KINDS)), draw(st.sampled_from(ZONES))
    gpus = draw(_GPUS)
    left = tuple(draw(st.lists(_LEFT, min_size=gpus, max_size=gpus)))
    known = draw(st.booleans())
    if not known:
        left = tuple(free // UNIT * UNIT for free in left)
    total = {"GPU": gpus * UNIT, "CPU": 16 * UNIT, "memory": 64 * UNIT, "disk": 2 * UNIT}
    free = {
        "GPU": sum(left),
        "CPU": draw(_CPU) * UNIT,
        "memory": draw(st.sampled_from([64, 64, 16, 4])) * UNIT,
        "disk": draw(st.sampled_from([2, 2, 1, 0])) * UNIT,
    }
    labels = {"zone": zone}
    if gpus and draw(st.booleans()):
        labels["ray.io/accelerator-type"] = kind
    elif gpus:
        total[f"accelerator_type:{kind}"] = free[f"accelerator_type:{kind}"] = UNIT
    alive = draw(st.sampled_from([True] * 14 + [False]))
    return Host(name, f"host-{name}", total, free, labels, alive, left if known else None)


def clusters(most: int) -> st.SearchStrategy[ClusterSnapshot]:
    sizes = st.sampled_from([*range(1, most + 1), *range(most // 2, most + 1)])
    return sizes.flatmap(lambda n: st.tuples(*(hosts(name) for name in "abcdefgh"[:n]))).map(
        ClusterSnapshot
    )


SELECTORS = st.sampled_from(
    [*[None] * 6, {"zone": "a"}, {"zone": "!b"}, {"zone": "in(a,b)"}, {"zone": "!in(b,c)"}]
)


@st.composite
def alike(draw: st.DrawFn, most: int = 12, *, span: bool = False) -> PlacementRequest:
    """Equal workers, with a larger bundle for the engine."""
    share = UNIT if span else draw(st.sampled_from(SHARES))
    tp = draw(st.sampled_from([2, 4, 3, 6] if span else [1, 2, 4, 3, 8])) if share == UNIT else 1
    pp = draw(st.integers(1, max(1, most // tp)))
    strategies = STRATEGIES if (tp == 1 or span) else STRATEGIES[:3]
    strategy = draw(st.sampled_from(strategies))
    return PlacementRequest.of(
        tp,
        pp,
        gpu=(share + 0.5) / UNIT,
        cpu=draw(st.sampled_from([0, 1, 2])),
        memory=draw(st.sampled_from([0, 0, 4])),
        engine=draw(st.sampled_from([None, {"CPU": 1}, {"CPU": 3, "disk": 1}])),
        labels=draw(SELECTORS),
        strategy=strategy,
        accelerator_type=draw(st.sampled_from([*[None] * 6, *KINDS])),
        span_tp=span and strategy != "STRICT_PACK",
    )


@st.composite
def by_hand(draw: st.DrawFn, most: int = 6, *, span: bool = False) -> PlacementRequest:
    """Bundles that all differ: amounts, selectors, some of no worker."""
    share = UNIT if span else draw(st.sampled_from(SHARES))
    tp = draw(st.sampled_from([2, 4] if span else [1, 2, 3])) if share == UNIT else 1
    workers = tp * draw(st.integers(1, most // tp))
    strategy = draw(st.sampled_from(STRATEGIES if tp == 1 or span else STRATEGIES[:3]))
    bundles = [
        Bundle(
            {
                "GPU": share,
                **_positive(
                    CPU=draw(st.integers(0, 3)) * UNIT,
                    memory=draw(st.sampled_from([0, 0, 2, 5])) * UNIT,
                    disk=draw(st.sampled_from([0, 0, 0, 1])) * UNIT,
                ),
            },
            draw(SELECTORS) or {},
        )
        for _ in range(workers + draw(st.sampled_from([0, 0, 1])))
    ]
    for _ in range(draw(st.integers(0, 2))):
        first = 1 if strategy == "STRICT_SPREAD" else 0
        at = draw(st.sampled_from([first, first, *range(first, len(bundles) + 1)]))
        bundles.insert(at, Bundle.of(draw(SELECTORS), CPU=draw(st.sampled_from([1, 2, 4, 8, 14]))))
    return PlacementRequest(
        tuple(bundles),
        strategy,
        tp,
        workers // tp,
        accelerator_type=draw(st.sampled_from([*[None] * 6, *KINDS])),
        span_tp=span and strategy != "STRICT_PACK",
    )


def _positive(**amounts: int) -> dict[str, int]:
    return {name: value for name, value in amounts.items() if value}


@settings(max_examples=RUNS, deadline=None)
@given(alike(), clusters(8))
def test_a_plan_exists_exactly_if_the_solver_finds_one(request, snapshot):
    found = find(request, snapshot)
    assert found.proven
    assert (found.plan is not None) == feasible(request, snapshot)


@settings(max_examples=RUNS, deadline=None)
@given(by_hand(), clusters(5))
def test_for_bundles_written_by_hand_too(request, snapshot):
    found = find(request, snapshot)
    if found.plan is not None or found.proven:
        assert (found.plan is not None) == feasible(request, snapshot)


@settings(max_examples=RUNS // 3, deadline=None)
@given(st.one_of(alike(12, span=True), by_hand(8, span=True)), clusters(6))
def test_a_group_that_may_span_does_so_in_equal_parts(request, snapshot):
    """Whatever is planned is valid; nothing is planned only if no equal parts are."""
    found = find(request, snapshot)
    if found.plan is not None:
        assert feasible(request, snapshot)
    elif found.proven:
        size = request.tensor_parallel_size
        parts = [n for n in range(1, size + 1) if size % n == 0] if request.span_tp else [1]
        assert not any(feasible(request, snapshot, parts=n) for n in parts)


@settings(max_examples=RUNS // 3, deadline=None)
@given(
    st.one_of(alike(4), by_hand(3), alike(4, span=True), by_hand(4, span=True)).filter(
        lambda request: len(request.bundles) <= 5
    ),
    clusters(3),
)
def test_the_solver_agrees_with_the_rules(request, snapshot):
    """The oracle itself: some assignment breaks no rule exactly if the solver says so."""
    everywhere = [host.node_id for host in snapshot.hosts]
    valid = any(
        not violations(request, PlacementPlan(request.bundles, at, request.strategy), snapshot)
        for at in itertools.product(everywhere, repeat=len(request.bundles))
    )
    assert feasible(request, snapshot) == valid
