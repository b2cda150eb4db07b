"""What Ray Serve reserves for a config: the engine's bundles, and its own actor in the first.

A node reserves what `request_from_config` says. A replica of Ray Serve is an actor besides, and
Serve makes room for it in the first bundle, so that it lies where the engine's first worker does. A
data-parallel group is one placement group of all its replicas.

Source: ray 2.60 `ray/llm/_internal/serve/core/server/llm_server.py`
(`LLMServer.get_deployment_options`, `_merge_replica_actor_and_child_actor_bundles`),
`…/serving_patterns/data_parallel/dp_server.py` (`DPServer.get_deployment_options`) and
`ray/serve/_private/deployment_scheduler.py` (`_prepare_gangs_for_deployment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.errors import ConfigError, Fault
from nodeinit.frozen import EMPTY, thaw
from nodeinit.placement.checks import of_amounts, to_bundles
from nodeinit.placement.from_config import request_from_config
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import UNIT, Bundle

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

_OPTIONS = "deployment_config.ray_actor_options"


@attrs.frozen
class Reservation:
    """One placement group of Serve: that of a replica, or of the `ranks` of a data-parallel group."""

    bundles: tuple[Bundle, ...]
    strategy: str
    ranks: int = 1


def reservation_of(config: LLMConfig) -> Reservation:
    """The placement group that Serve makes for each replica, or each data-parallel group, of a config.

    Raises `ConfigError` as `serve_request` does.
    """
    request, ranks = serve_request(config), config.data_parallel_size
    return Reservation(request.bundles * ranks, request.strategy, ranks)


def serve_request(config: LLMConfig) -> PlacementRequest:
    """The request for one replica of a config as Serve makes it, its own actor included.

    A rank of a data-parallel group is a replica; Serve packs these groups whatever strategy the
    config has. Raises `ConfigError` with the path of each key that is wrong, as
    `request_from_config` does, and for what the replica's actor may not ask for.
    """
    request = request_from_config(config)
    bundles = request.bundles
    # SGLang's bundles have room for the actor already.
    if "placement_group_bundles" not in (config.placement_group_config or EMPTY):
        bundles = (_both(bundles[0], _actor(config)), *bundles[1:])
    strategy = request.strategy if config.data_parallel_size == 1 else "PACK"
    try:
        return attrs.evolve(request, bundles=bundles, strategy=strategy)
    except ConfigError as error:
        # The request was sound before the actor was in it.
        faults = tuple(attrs.evolve(fault, where=_OPTIONS) for fault in error.faults)
        raise ConfigError(faults, source=config.model_id) from None


def _both(first: Bundle, actor: Bundle) -> Bundle:
    """A bundle with what an actor asks for on top."""
    names = {**first.resources, **actor.resources}
    both = {n: int(first.resources.get(n, 0)) + int(actor.resources.get(n, 0)) for n in names}
    return attrs.evolve(first, resources=both)


def _actor(config: LLMConfig) -> Bundle:
    """What the actor of a replica asks for: one CPU, unless the config says otherwise."""
    options: Any = config.deployment_config.get("ray_actor_options") or {}
    asked = {"CPU": options.get("num_cpus", 1), "GPU": options.get("num_gpus", 0)}
    custom: Any = options.get("resources", {})
    if not isinstance(custom, Mapping):
        fault = Fault(f"{_OPTIONS}.resources", "is not a mapping of amounts", repr(thaw(custom)))
        raise ConfigError(fault, source=config.model_id)
    asked.update(custom)
    if "memory" in options:
        asked["memory"] = options["memory"]
    try:
        (actor,) = to_bundles([asked])
        faults = [*of_amounts((actor,))] if actor.resources else []
        if not faults and actor.gpu:
            remedy = "leave it out: the engine's workers have their GPUs from the bundles"
            problem = (
                "is for the replica's own actor, where the engine would count it as a worker's"
            )
            faults = [Fault("bundles[0].GPU", problem, f"{actor.gpu / UNIT:g}", remedy)]
    except ConfigError as error:
        faults = list(error.faults)
    if faults:
        raise ConfigError(tuple(map(_placed, faults)), source=config.model_id)
    return actor


def _placed(fault: Fault) -> Fault:
    """A fault of the actor's bundle at its place in the config."""
    name = fault.where.removeprefix("bundles[0]").removeprefix(".")
    own = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    return attrs.evolve(fault, where=f"{_OPTIONS}.{own.get(name) or f'resources.{name}'}")
