"""A whole application on a cluster: every replica that it begins with, and what takes the requests.

Source: ray 2.60 `ray/llm/_internal/serve/core/ingress/builder.py` (`build_openai_app`) and
`…/ingress/ingress.py` (`OpenAiIngress.get_deployment_options`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.errors import ConfigError, Fault
from nodeinit.frozen import thaw
from nodeinit.placement.batch import plan_all
from nodeinit.placement.checks import to_bundles
from nodeinit.placement.planned import Planned
from nodeinit.placement.replicas import Replica, replicas_of, starting_replicas
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.serve_bundles import serve_request
from nodeinit.placement.topology import ClusterSnapshot

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig
    from nodeinit.config.applications import Application

INGRESS = "OpenAiIngress"
"""The deployment of Ray Serve LLM that takes an application's requests."""

_OPTIONS = "ingress_deployment_config"
_BUILDERS = ("build_openai_app", "build_dp_openai_app", "build_pd_openai_app")


def plan_application(
    configs: Iterable[LLMConfig],
    snapshot: ClusterSnapshot,
    *,
    beside: Sequence[Replica] = (),
) -> Planned:
    """A place for every replica that these configs begin with, all on the cluster at once.

    What is planned first is taken for what comes after. `beside` are replicas that need room
    besides the models', such as those of the ingress. Raises `ConfigError` for a config that asks
    for what no cluster has.
    """
    return plan_replicas((*replicas_of(configs, serve_request), *beside), snapshot)


def plan_replicas(replicas: Sequence[Replica], snapshot: ClusterSnapshot) -> Planned:
    """A place for each of these replicas, all on the cluster at once."""
    found = plan_all([(replica.name, replica.request) for replica in replicas], snapshot)
    return Planned(snapshot, tuple(zip(replicas, (answer for _, answer in found), strict=True)))


def replicas_of_applications(applications: Sequence[Application]) -> tuple[Replica, ...]:
    """The replicas that applications begin with: all their models', then all their ingresses'.

    Raises `ConfigError` with the faults of all models.
    """
    configs = [config for app in applications for config in app.configs]
    return (*replicas_of(configs, serve_request), *ingress_of_applications(applications))


def ingress_of_applications(applications: Sequence[Application]) -> tuple[Replica, ...]:
    """The replicas of the ingresses of applications, called by them if there are several."""
    several = len(applications) > 1
    return tuple(
        replica
        for app in applications
        for replica in ingress_replicas(
            app.builder, app.configs, app.ingress, f"{app.name}:{INGRESS}" if several else INGRESS
        )
    )


def ingress_replicas(
    builder: str, configs: Sequence[LLMConfig], options: Mapping[str, Any], name: str = INGRESS
) -> tuple[Replica, ...]:
    """The replicas of the ingress that a builder of Ray Serve LLM puts before its models.

    `options` is the `ingress_deployment_config`, `name` what the replicas are called. None for a
    builder that is not Ray's, nor for replicas that take nothing. Raises `ConfigError` for options
    that ask for what no actor has.
    """
    if builder not in _BUILDERS:
        return ()
    count = starting_replicas(options, name, _OPTIONS)
    # Models that all begin with nothing need nobody to take requests for them.
    if not _says_how_many(options) and configs and all(map(_scales_to_zero, configs)):
        count = 0
    asked = _amounts(options, name)
    if not asked:
        return ()
    try:
        request = PlacementRequest(to_bundles([asked]))
    except ConfigError as error:
        faults = tuple(attrs.evolve(f, where=f"{_OPTIONS}.ray_actor_options") for f in error.faults)
        raise ConfigError(faults, source=name) from None
    return tuple(Replica(name, number, request, is_ingress=True) for number in range(1, count + 1))


def _says_how_many(options: Mapping[str, Any]) -> bool:
    scaling: Any = options.get("autoscaling_config") or {}
    named = (scaling.get(key) for key in ("initial_replicas", "min_replicas"))
    return any(value is not None for value in (options.get("num_replicas"), *named))


def _scales_to_zero(config: LLMConfig) -> bool:
    scaling: Any = config.deployment_config.get("autoscaling_config")
    return isinstance(scaling, Mapping) and scaling.get("min_replicas") == 0


def _amounts(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What one replica of the ingress takes: one CPU, unless its options say otherwise."""
    actor: Any = options.get("ray_actor_options") or {}
    custom: Any = actor.get("resources") or {}
    if not isinstance(custom, Mapping):
        where = f"{_OPTIONS}.ray_actor_options.resources"
        fault = Fault(where, "is not a mapping of amounts", repr(thaw(custom)))
        raise ConfigError(fault, source=name)
    asked = {"CPU": actor.get("num_cpus", 1), "GPU": actor.get("num_gpus", 0), **custom}
    if "memory" in actor:
        asked["memory"] = actor["memory"]
    return {key: value for key, value in asked.items() if value != 0}
