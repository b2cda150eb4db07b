"""The placement request that a config stands for, as `ray.serve.llm` reads it.

Source: ray 2.60 `ray/llm/_internal/serve/engines/vllm/vllm_models.py` (`placement_bundles`) and
`…/serve/core/configs/accelerators.py` (`default_bundles`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from nodeinit.errors import ConfigError
from nodeinit.placement.checks import to_bundles
from nodeinit.placement.domains import TPU_SLICE
from nodeinit.placement.placed import Pin
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.selectors import selected
from nodeinit.placement.tpu import slice_bundles

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

HINT = 0.001
"""What a bundle asks of `accelerator_type:X`, of which every host with an X has 1."""


@functools.lru_cache(maxsize=256)
def request_from_config(config: LLMConfig) -> PlacementRequest:
    """The request for one replica of a config: its tensor- and pipeline-parallel workers.

    Data-parallel ranks are replicas of their own, each with its own node: they are not multiplied
    in. Raises `ConfigError` with the path of each key that is wrong. A node asks for it at every
    step, so it is remembered.
    """
    try:
        amounts = _amounts(config)
    except ConfigError as error:
        raise ConfigError(error.faults, source=config.model_id) from None
    kind = config.accelerator_type
    topology = config.nodeinit.topology
    if _slice_of(config) is not None and len(amounts) > 1:
        # All hosts of a slice, and of one slice only: its chips reach each other and no others.
        topology = TPU_SLICE
    if kind is not None:
        # As upstream does it: every bundle gets the hint, and one that is written down wins.
        amounts = [{f"accelerator_type:{kind}": HINT, **bundle} for bundle in amounts]
    try:
        request = PlacementRequest(
            to_bundles(amounts),
            strategy=config.strategy,
            tensor_parallel_size=config.tensor_parallel_size,
            pipeline_parallel_size=config.pipeline_parallel_size,
            accelerator_type=kind,
            # The chips of a slice are one: a group that spans its hosts spans no network.
            span_tp=bool(config.nodeinit.span_tp) or topology == TPU_SLICE,
            topology=topology,
            pin=config.nodeinit.pin or Pin.NODE,
        )
    except ConfigError as error:
        repeated = config.bundle_per_worker is not None
        faults = [attrs.evolve(f, where=_path(f.where, repeated)) for f in error.faults]
        raise ConfigError(tuple(dict.fromkeys(faults)), source=config.model_id) from None
    return attrs.evolve(request, bundles=selected(request.bundles, config))


def _amounts(config: LLMConfig) -> Sequence[Mapping[str, float]]:
    """What every bundle asks for, in units: as written down, or one device for each worker."""
    if config.bundles is not None:
        return config.bundles
    workers = config.tensor_parallel_size * config.pipeline_parallel_size
    if config.bundle_per_worker is not None:
        return [config.bundle_per_worker] * workers
    slice_ = _slice_of(config)
    if slice_ is not None and config.accelerator_type is not None:
        return slice_bundles(slice_, config.accelerator_type, workers)
    return [{config.hardware.upper(): 1}] * workers


def _slice_of(config: LLMConfig) -> str | None:
    """The topology of the TPU slice that a config asks for."""
    accelerator = config.accelerator_config
    return accelerator.get("topology") if accelerator is not None else None


def _path(where: str, repeated: bool) -> str:
    """The place in the config of a fault that was found in the request made of it."""
    if where.endswith("_parallel_size"):
        return f"engine_kwargs.{where}"
    if where in ("span_tp", "topology", "pin"):
        return f"experimental_configs.nodeinit.{where}"
    if repeated:
        where = re.sub(r"^bundles\[\d+\]", "bundle_per_worker", where)
    if where.startswith(("bundle", "strategy")):
        return f"placement_group_config.{where}"
    return where
