"""What `ray.serve.llm` itself derives from a config; its import needs an engine, such as vLLM."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from nodeinit.placement.topology import fixed

REASON = "ray.serve.llm cannot be imported: it needs vLLM and what goes with it"


@contextlib.contextmanager
def own_ray() -> Iterator[None]:
    """A Ray of one's own: Ray Serve LLM asks one for its runtime environment, and would start one."""
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def skip_without_upstream() -> None:
    """Skip a module where `ray.serve.llm` does not come up, and say why."""
    pytest.importorskip("ray.serve.llm", reason=REASON, exc_type=ImportError)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)


@attrs.frozen
class Derived:
    """What Ray makes of a config, amounts in fixed point and without those that are 0."""

    bundles: tuple[dict[str, int], ...]
    strategy: str
    share: str | None
    reserved: tuple[dict[str, int], ...]
    selectors: tuple[dict[str, str], ...]
    reserved_strategy: str
    ranks: int
    replicas: int


def derive(data: Mapping[str, Any]) -> Derived:
    """All of it. Raises whatever Ray raises, and `AssertionError` where it reserves no group."""
    from ray.llm._internal.serve.serving_patterns.data_parallel.dp_server import DPServer
    from ray.serve.config import AutoscalingConfig
    from ray.serve.llm import LLMConfig

    config = LLMConfig(**copy.deepcopy(dict(data)))
    engine = config.get_engine_config()
    # The server of data-parallel models is that of all others where there is one rank.
    options = DPServer.get_deployment_options(config)
    assert "placement_group_bundles" in options, "the group is made by the replica, later"
    gang = options.get("gang_scheduling_config")
    ranks = gang.gang_size if gang else 1
    strategy = gang.gang_placement_strategy.value if gang else options["placement_group_strategy"]
    scaling = options.get("autoscaling_config")
    replicas = options.get("num_replicas")
    if replicas is None or replicas == "auto":
        scaling = AutoscalingConfig(**scaling) if isinstance(scaling, dict) else scaling
        first = None if scaling is None else scaling.initial_replicas
        replicas = 1 if scaling is None else scaling.min_replicas if first is None else first
    env = engine.get_runtime_env_with_local_env_vars()["env_vars"]
    reserved = [*map(amounts, options["placement_group_bundles"])] * ranks
    selectors = options.get("placement_group_bundle_label_selector") or [{}]
    if len(selectors) == 1:  # as Serve's ReplicaConfig does it
        selectors = selectors * len(options["placement_group_bundles"])
    return Derived(
        tuple(map(amounts, engine.placement_bundles)),
        engine.placement_strategy,
        env.get("VLLM_RAY_PER_WORKER_GPUS"),
        tuple(reserved),
        tuple(selectors) * ranks,
        strategy,
        ranks,
        replicas,
    )


def amounts(bundle: Mapping[str, float]) -> dict[str, int]:
    return {name: fixed(units) for name, units in bundle.items() if units != 0}
