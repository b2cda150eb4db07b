"""What Ray Serve runs of an application already: its groups, and the selectors of its deployments.

Source: ray 2.60 `ray/serve/_private/client.py` (`get_serve_details`), `controller.py`
(`get_deployment_info`) and `deployment_scheduler.py`, which gives groups the names they begin with.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from nodeinit.config import LLMConfig
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.ray.llm.bundles import OPTION
from nodeinit.ray.llm.preparing import Selectors

_BUILD_TASK = "build_serve_application"


def applications() -> dict[str, Any]:
    """The applications of the Serve on this cluster, by name, as its REST API tells them.

    Empty where no Serve runs. Blocking.
    """
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client(raise_if_no_controller_running=False)
    return {} if client is None else dict(client.get_serve_details()["applications"])


def takes_selectors() -> bool:
    """Whether this Serve can be told which hosts the bundles of a deployment may be put on."""
    from ray import serve

    return OPTION in inspect.signature(serve.deployment).parameters


def being_built() -> str | None:
    """The application that Serve is building by a call of whoever asks, if it is.

    A builder is not told the name; who called it knows (`build_serve_application`, Ray 2.51 to 2.60).
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == _BUILD_TASK:
            name = frame.f_locals.get("name")
            return name if isinstance(name, str) else None
        frame = frame.f_back
    return None


def without_application(snapshot: ClusterSnapshot, name: str) -> ClusterSnapshot:
    """The cluster as it will be when Serve has replaced all replicas of an application."""
    beginnings = (f"SERVE_REPLICA::{name}#", f"SERVE_GANG::{name}_")
    for group in snapshot.groups:
        if group.name.startswith(beginnings):
            snapshot = snapshot.without(group)
    return snapshot


def present_selectors(
    app: str | None, known: Mapping[str, Any], configs: Sequence[LLMConfig]
) -> list[Selectors | None]:
    """The bundle label selectors that the deployment of each config has now, or `None`. Blocking."""
    if app is None or app not in known:
        return [None] * len(configs)
    names = known[app].get("deployments") or {}
    return matched({name: _selectors(app, name) for name in names}, configs)


def matched(
    deployments: Mapping[str, Selectors | None], configs: Sequence[LLMConfig]
) -> list[Selectors | None]:
    """For each config what the deployment of its model has.

    Prefill and decode of one model have its id both; they come in that order, as in a config.
    """
    left = dict(sorted(deployments.items(), key=lambda item: item[0].startswith("Decode:")))
    found: list[Selectors | None] = []
    for config in configs:
        name = config.model_id.replace("/", "--").replace(".", "_")
        key = next((key for key in left if key == name or key.endswith(f":{name}")), None)
        found.append(left.pop(key) if key is not None else None)
    return found


def _selectors(app: str, deployment: str) -> Selectors | None:
    """What a deployment was given; none of what Serve tells in public says so."""
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client()
    try:
        info, _ = client.get_deployment_info(deployment, app)
    except ray.exceptions.RayError:  # it has gone meanwhile
        return None
    found: Selectors | None = getattr(info.replica_config, OPTION, None)  # not in Ray 2.51
    return found
