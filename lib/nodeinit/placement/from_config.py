"""The placement request that a config stands for, as `ray.serve.llm` reads it.

Source: ray 2.60 `ray/llm/_internal/serve/engines/vllm/vllm_models.py` (`placement_bundles`) and
`…/serve/core/configs/accelerators.py` (`default_bundles`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from nodeinit.errors import ConfigError, Fault
from nodeinit.placement.checks import to_bundles
from nodeinit.placement.request import PlacementRequest

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

HINT = 0.001
"""What a bundle asks of `accelerator_type:X`, of which every host with an X has 1."""


def request_from_config(config: LLMConfig) -> PlacementRequest:
    """The request for one replica of a config: its tensor- and pipeline-parallel workers.

    Data-parallel ranks are replicas of their own, each with its own node: they are not multiplied
    in. Raises `ConfigError` with the path of each key that is wrong.
    """
    amounts = _amounts(config)
    kind = config.accelerator_type
    if kind is not None:
        # As upstream does it: every bundle gets the hint, and one that is written down wins.
        amounts = [{f"accelerator_type:{kind}": HINT, **bundle} for bundle in amounts]
    try:
        return PlacementRequest(
            to_bundles(amounts),
            strategy=config.strategy,
            tensor_parallel_size=config.tensor_parallel_size,
            pipeline_parallel_size=config.pipeline_parallel_size,
            accelerator_type=kind,
            span_tp=bool(config.nodeinit.span_tp),
        )
    except ConfigError as error:
        repeated = config.bundle_per_worker is not None
        faults = [attrs.evolve(f, where=_path(f.where, repeated)) for f in error.faults]
        raise ConfigError(tuple(dict.fromkeys(faults)), source=config.model_id) from None


def _amounts(config: LLMConfig) -> Sequence[Mapping[str, float]]:
    """What every bundle asks for, in units: as written down, or one device for each worker."""
    if config.bundles is not None:
        return config.bundles
    workers = config.tensor_parallel_size * config.pipeline_parallel_size
    if config.bundle_per_worker is not None:
        return [config.bundle_per_worker] * workers
    accelerator = config.accelerator_config
    if accelerator is not None and accelerator.get("topology"):
        where = "accelerator_config.topology"
        problem = "asks for a whole TPU slice, which Ray reserves in a way of its own"
        remedy = "list the bundles in placement_group_config"
        raise ConfigError(Fault(where, problem, remedy=remedy), source=config.model_id)
    return [{config.hardware.upper(): 1}] * workers


def _path(where: str, repeated: bool) -> str:
    """The place in the config of a fault that was found in the request made of it."""
    if where.endswith("_parallel_size"):
        return f"engine_kwargs.{where}"
    if where == "span_tp":
        return "experimental_configs.nodeinit.span_tp"
    if repeated:
        where = re.sub(r"^bundles\[\d+\]", "bundle_per_worker", where)
    if where.startswith(("bundle", "strategy")):
        return f"placement_group_config.{where}"
    return where
