"""`deployment`: a class and a config become a deployment, with what Serve has to reserve for it."""

from __future__ import annotations

from typing import Any

from ray import serve

from nodeinit.config import LLMConfig
from nodeinit.frozen import thaw
from nodeinit.placement.serve_bundles import serve_request
from nodeinit.ray.groups import exact
from nodeinit.ray.serve.wrapping import with_node

STOP_WITHIN = 60.0
"""Seconds that a replica has to give everything back, before Serve kills it. Serve's own default of 20
is less than hosts may take to acknowledge that a download was cancelled."""

_NODE = frozenset({"mode", "path", "machine", "policy", "journal"})


def deployment(engine: type, config: LLMConfig, **options: Any) -> serve.Deployment:
    """A deployment of a class whose replicas bring up the node of a config; bind it and run it.

    `options` are those of `with_node` and of `serve.deployment`; those of Serve win over the
    config's `deployment_config`. For each replica Serve reserves the bundles of the config, with room
    for the replica in the first, and the node adopts that group: Serve removes it with the replica.

    Raises `ConfigError` for a config that asks for what cannot be.
    """
    of_node = {name: options.pop(name) for name in _NODE & set(options)}
    merged = {**thaw(config.deployment_config), **options}
    actor = merged.get("ray_actor_options") or {}
    config = config.evolve(
        deployment_config={**config.deployment_config, "ray_actor_options": actor}
    )
    request = serve_request(config)
    merged.setdefault("name", engine.__name__)
    merged.setdefault("graceful_shutdown_timeout_s", STOP_WITHIN)
    bundles = [{n: exact(v) for n, v in b.resources.items()} for b in request.bundles]
    reserved: dict[str, Any] = {
        "placement_group_bundles": bundles,
        "placement_group_strategy": request.strategy,
    }
    if any(bundle.labels for bundle in request.bundles):
        selectors = [thaw(bundle.labels) for bundle in request.bundles]
        reserved["placement_group_bundle_label_selector"] = selectors
    wrapped = with_node(config, **of_node)(engine)
    made: serve.Deployment = serve.deployment(**{**reserved, **merged})(wrapped)
    return made
