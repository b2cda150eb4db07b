"""Strategies that the tests of several packages share, one section for each package."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st

from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Group, Host, fixed

# -- placement -------------------------------------------------------------------------------------

ZONES = ("a", "b")
KINDS = ("H100", "A100")


def host(
    name: str,
    gpus: float,
    free: float | None = None,
    *,
    cpu: float = 32,
    free_cpu: float | None = None,
    zone: str | None = None,
    kind: str | None = None,
    alive: bool = True,
    gpu_list: tuple[int, ...] | None = None,
    **more: float,
) -> Host:
    """A host by hand: amounts in units, `free` of the GPUs and `free_cpu` of the CPUs unused."""
    total = {"GPU": gpus, "CPU": cpu, **more}
    if kind is not None:
        total[f"accelerator_type:{kind}"] = 1
    left = {**total, "GPU": gpus if free is None else free}
    left["CPU"] = cpu if free_cpu is None else free_cpu
    return Host(
        name,
        f"host-{name}",
        {k: fixed(v) for k, v in total.items()},
        {k: fixed(v) for k, v in left.items()},
        {"zone": zone} if zone else {},
        alive,
        gpu_list,
    )


# GPUs of a host: how many, how many of them taken whole, and slices taken of others. Drawn as one
# value, simple ones first: a draw for each property would cost more than all that is tested.
_TAKEN = [
    (gpus, whole, slices)
    for gpus, whole in (
        *((4, 0), (8, 0), (2, 0), (1, 0), (0, 0)),
        *((8, 2), (4, 1), (8, 5), (2, 1), (4, 4), (8, 1)),
    )
    for slices in ((), (0.5,), (0.3, 0.6), (0.6, 0.6), (0.6, 0.6, 0.6))
    if len(slices) <= gpus - whole
]
_SPECS = [
    (taken, cpu, zone, kind, alive, known)
    for known in (True, False)
    for alive in (True,) * 9 + (False,)
    for cpu in ((32, 32), (16, 10), (4, 3), (16, 2))
    for zone in (*ZONES, None)
    for kind in (*KINDS, None)
    for taken in _TAKEN
]


@functools.cache
def _made(name: str, spec: Any) -> tuple[Host, tuple[Group, ...]]:
    (gpus, whole, slices), (cpu, free_cpu), zone, kind, alive, known = spec
    free = gpus - whole - sum(slices)
    made = host(name, gpus, free, cpu=cpu, free_cpu=free_cpu, zone=zone, kind=kind, alive=alive)
    shares = {"whole": [1.0] * whole, "slices": [*slices]}
    groups = [group(f"{kind}-{name}", name, taken) for kind, taken in shares.items() if taken]
    return made, tuple(groups) if known else ()


def group(group_id: str, node_id: str, shares: list[float]) -> Group:
    """Somebody's group on one host, with these shares of its GPUs."""
    bundles = tuple(Bundle.of(GPU=share) for share in shares)
    return Group(group_id, group_id, "CREATED", bundles, "PACK", (node_id,) * len(bundles))


def snapshots(*, most: int = 5) -> st.SearchStrategy[ClusterSnapshot]:
    """A cluster of a few hosts, in any state that one meets."""
    sizes = st.sampled_from([n for n in (3, 4, 2, 5, 1, 3, 4, 0) if n <= most])
    specs = st.sampled_from(_SPECS)
    return sizes.flatmap(lambda n: st.lists(specs, min_size=n, max_size=n)).map(_snapshot)


def _snapshot(specs: list[Any]) -> ClusterSnapshot:
    made = [_made(name, spec) for name, spec in zip("abcdefgh", specs, strict=False)]
    groups = tuple(group for _, groups in made for group in groups)
    return ClusterSnapshot(tuple(host for host, _ in made), groups)


_SIZES = [
    (tp, pp, span) for tp in (1, 2, 2, 4, 3, 8) for pp in (1, 1, 2, 3, 4) for span in (0, tp > 1)
]
_AMOUNTS = [
    (gpu, cpu, engine)
    for engine in (None, {"CPU": 1}, {"CPU": 3})
    for gpu, cpu in ((1, 0), (1, 1), (1, 2), (0, 1), (0, 2), (0.5, 0), (0.6, 1), (0.3, 0))
]
_TERMS = [
    (strategy, kind, labels, topology)
    for topology in (None, None, None, "zone")
    for labels in (None, None, None, {"zone": "a"}, {"zone": "!b"})
    for kind in (None, None, None, *KINDS)
    for strategy in ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
]


@st.composite
def requests(draw: st.DrawFn, *, span: bool = True) -> PlacementRequest:
    """A request of an LLM: equal workers, perhaps with a bigger bundle for the engine."""
    tp, pp, span_tp = draw(st.sampled_from(_SIZES))
    gpu, cpu, engine = draw(st.sampled_from(_AMOUNTS))
    strategy, kind, labels, topology = draw(st.sampled_from(_TERMS))
    dp = draw(st.sampled_from([1, 1, 1, 2, 3])) if pp < 3 else 1
    span_tp = bool(span and span_tp and strategy != "STRICT_PACK")
    if strategy == "STRICT_SPREAD" and tp > 1 and not span_tp:
        strategy = "SPREAD"
    return PlacementRequest.of(
        tp if gpu in (0, 1) else 1,
        pp,
        gpu=gpu,
        cpu=cpu,
        engine=engine,
        strategy=strategy,
        accelerator_type=kind if gpu else None,
        labels=labels,
        data_parallel_size=dp,
        span_tp=span_tp,
        topology=topology,
    )


@st.composite
def mixed_requests(draw: st.DrawFn) -> PlacementRequest:
    """A request whose bundles were written by hand: all different, some without a device."""
    tp = draw(st.sampled_from([1, 1, 2]))
    pp = draw(st.sampled_from([1, 2]))
    workers = tp * pp + draw(st.sampled_from([0, 0, 1]))
    bundles = [
        Bundle.of(
            draw(st.sampled_from([None, None, {"zone": draw(st.sampled_from(ZONES))}])),
            GPU=1,
            CPU=draw(st.integers(0, 3)),
        )
        for _ in range(workers)
    ]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(bundles)))
        bundles.insert(at, Bundle.of(CPU=draw(st.integers(1, 4))))
    strategy = draw(st.sampled_from(["PACK", "SPREAD", "STRICT_PACK"]))
    return PlacementRequest(tuple(bundles), strategy, tp, pp)
