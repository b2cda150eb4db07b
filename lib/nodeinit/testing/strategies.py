"""Hypothesis strategies for what nodeinit works with: all valid by construction, simple ones first.

With `nodeinit[testing]` installed `st.from_type(CallbackCtx)`, and that of `LLMConfig`,
`PlacementRequest`, `ClusterSnapshot` and `Scenario`, are these.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import strategies as st

from nodeinit.config import LLMConfig
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Group, Host
from nodeinit.testing.by_hand import group, host
from nodeinit.testing.drawn_contexts import contexts_of
from nodeinit.testing.generate import build
from nodeinit.testing.scenario import Scenario

__all__ = [
    "clusters",
    "configs",
    "contexts",
    "mixed_requests",
    "requests",
    "scenarios",
    "worlds",
]

ZONES = ("a", "b")
KINDS = ("H100", "A100")

# -- clusters --------------------------------------------------------------------------------------

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


def clusters(*, most: int = 5) -> st.SearchStrategy[ClusterSnapshot]:
    """A cluster of a few hosts (`most` at most), in any state that one meets."""
    sizes = st.sampled_from([n for n in (3, 4, 2, 5, 1, 3, 4, 0) if n <= most])
    specs = st.sampled_from(_SPECS)
    return sizes.flatmap(lambda n: st.lists(specs, min_size=n, max_size=n)).map(_snapshot)


def _snapshot(specs: Sequence[Any]) -> ClusterSnapshot:
    made = [_made(name, spec) for name, spec in zip("abcdefgh", specs, strict=False)]
    groups = tuple(group for _, groups in made for group in groups)
    return ClusterSnapshot(tuple(host for host, _ in made), groups)


# -- requests --------------------------------------------------------------------------------------

_SIZES = [
    (tp, pp, span)
    for span in (False, True)
    for tp in (1, 2, 2, 4, 3, 8)
    for pp in (1, 1, 2, 3, 4)
    if tp > 1 or not span
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
    """A request of an LLM: equal workers, perhaps with a bigger bundle for the engine.

    With `span` a tensor-parallel group may lie on several hosts.
    """
    tp, pp, span_tp = draw(st.sampled_from(_SIZES))
    gpu, cpu, engine = draw(st.sampled_from(_AMOUNTS))
    strategy, kind, labels, topology = draw(st.sampled_from(_TERMS))
    dp = draw(st.sampled_from([1, 1, 1, 2, 3]))  # always drawn: pp then shrinks by itself
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
        data_parallel_size=dp if pp < 3 else 1,
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


# -- configs and contexts --------------------------------------------------------------------------

_ENGINES = [
    {"tensor_parallel_size": tp, "pipeline_parallel_size": pp, **more}
    for more in ({}, {"max_model_len": 8_192}, {"enforce_eager": True, "seed": 0})
    for tp, pp in ((1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (2, 2), (4, 2), (1, 3))
]
_WORKERS: list[Any] = [
    None,
    {"bundle_per_worker": {"GPU": 1, "CPU": 2}},
    {"bundle_per_worker": {"GPU": 1}, "strategy": "SPREAD"},
]
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"pin": "hosts"},
    {"pin": "none", "replans": 1},
    {"deadlines": {"download": 600}, "attempts": {"download": 5}, "hook_deadline": 30.0},
]


@st.composite
def configs(draw: st.DrawFn) -> LLMConfig:
    """The config of a model: one to eight GPUs, without callbacks."""
    name, source = draw(
        st.sampled_from(
            [("m", None), ("qwen", "Qwen/Qwen3-8B"), ("m", "/models/m"), ("org/m", "s3://b/m")]
        )
    )
    return LLMConfig(
        model_id=name,
        model_source=source,
        engine_kwargs=draw(st.sampled_from(_ENGINES)),
        accelerator_type=draw(st.sampled_from([None, None, *KINDS])),
        placement_group_config=draw(st.sampled_from(_WORKERS)),
        deployment_config=draw(st.sampled_from([{}, {"num_replicas": 2}])),
        runtime_env=draw(st.sampled_from([None, {"env_vars": {"HF_HUB_OFFLINE": "1"}}])),
        nodeinit=draw(st.sampled_from(_SETTINGS)),
    )


def contexts(
    hook: str | None = None, *, config: st.SearchStrategy[LLMConfig] | None = None
) -> st.SearchStrategy[Any]:
    """A context as a hook gets it; by default any hook's, that of `on_before_init` first.

    It has what the machine has found out by then: before `on_after_init`, say, a plan, the model, a
    report of every host, and a placement that obeys every rule. `ValueError` for no hook.
    """
    return contexts_of(hook, configs() if config is None else config)


# -- scenarios -------------------------------------------------------------------------------------


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """What a check runs: a world that usually has room, and what goes wrong on the way to ready."""
    return build(lambda items: draw(st.sampled_from(items)))


def worlds() -> st.SearchStrategy[Scenario]:
    """A scenario in which nothing goes wrong, though there may not be room."""
    return scenarios().map(lambda drawn: attrs.evolve(drawn, faults=(), acts=(), others=()))
