"""Which hosts Serve may put the bundles of a deployment on: its plans as bundle label selectors.

A deployment has one selector for each bundle, the same for all of its replicas, and keeps it for as
long as it lives. So a plan is told by what it rules out: of the hosts that are there now, those that
it does not use. A host that joins later, such as the pod in the place of one that died, may be used;
named hosts could never be replaced. `experimental_configs.nodeinit.pin` asks for names (`node`,
`hosts`), or for nothing (`none`).

Source: ray 2.60 `ray/serve/_private/deployment_scheduler.py` (`_schedule_replica`,
`_prepare_gangs_for_deployment`), where no fallback is possible for placement groups.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nodeinit.frozen import EMPTY
from nodeinit.placement.labels import NODE_ID, matches
from nodeinit.placement.placed import Pin, PlacementPlan
from nodeinit.placement.serve_bundles import serve_request
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Host

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

OPTION = "placement_group_bundle_label_selector"
"""The option of a deployment that takes them."""


def bundle_selectors(
    config: LLMConfig, plans: Sequence[PlacementPlan], snapshot: ClusterSnapshot
) -> list[dict[str, str]] | None:
    """The selectors of a deployment whose replicas have these plans; `None` if there are none.

    The bundles of a single replica go to their very hosts, those of several to any host of a plan.
    A deployment that may grow is not held to the hosts that it begins on.
    """
    if (config.accelerator_config or EMPTY).get("topology") is not None:
        return None  # a slice of TPUs is reserved by the replica, so Serve has no bundles for it
    bundles = serve_request(config).bundles
    own = [dict(bundle.labels) for bundle in bundles]
    pin = config.nodeinit.pin
    if plans and pin != Pin.NONE and not may_grow(config):
        together = len(plans) > 1 or pin == Pin.HOSTS
        everywhere = tuple(dict.fromkeys(host for plan in plans for host in plan.hosts))
        for i, (bundle, selector) in enumerate(zip(bundles, own, strict=True)):
            if NODE_ID in selector:  # the user's own, which the plan obeys
                continue
            hosts = everywhere if together else (plans[0].node_ids[i],)
            others = () if pin is not None else _others(bundle, hosts, snapshot)
            condition = _one_of(hosts) if pin is not None else _none_of(others)
            if condition is not None:
                selector[NODE_ID] = condition
    return own if any(own) else None


def may_grow(config: LLMConfig) -> bool:
    """Whether Serve may start more replicas than the deployment begins with."""
    deployment: Mapping[str, Any] = config.deployment_config
    if deployment.get("num_replicas") == "auto":
        return True
    scaling: Any = deployment.get("autoscaling_config")
    if not isinstance(scaling, Mapping) or isinstance(deployment.get("num_replicas"), int):
        return False
    first = next(
        (scaling[k] for k in ("initial_replicas", "min_replicas") if scaling.get(k) is not None), 1
    )
    return bool(scaling.get("max_replicas", 1) > first)


def _others(bundle: Bundle, hosts: Collection[str], snapshot: ClusterSnapshot) -> tuple[str, ...]:
    """The living hosts beside these that the bundle could ever be put on."""
    return tuple(
        host.node_id
        for host in snapshot.alive
        if host.node_id not in hosts and _could_hold(host, bundle)
    )


def _could_hold(host: Host, bundle: Bundle) -> bool:
    asked = bundle.resources.items()
    labels = {key: value for key, value in bundle.labels.items() if key != NODE_ID}
    return matches(labels, host.labels) and all(
        host.total.get(name, 0) >= value for name, value in asked
    )


def _one_of(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"in({','.join(hosts)})"


def _none_of(hosts: Sequence[str]) -> str | None:
    if not hosts:
        return None
    return f"!{hosts[0]}" if len(hosts) == 1 else f"!in({','.join(hosts)})"
