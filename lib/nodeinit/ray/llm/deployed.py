"""What Ray Serve runs of an application already: its groups, and the selectors of its deployments.

Source: ray 2.60 `ray/serve/_private/client.py` (`get_serve_details`) and
`ray/serve/_private/deployment_scheduler.py`, whose names of groups begin with what is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ray

from nodeinit.config import LLMConfig
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.ray import records
from nodeinit.ray.llm.preparing import Selectors

_BUILD_TASK = "build_serve_application"
_NOTED = "selectors/"


def applications() -> dict[str, Any]:
    """The applications of the Serve on this cluster, by name, as its REST API tells them.

    Empty where no Serve runs. Blocking.
    """
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client(raise_if_no_controller_running=False)
    return {} if client is None else dict(client.get_serve_details()["applications"])


def being_built(known: Mapping[str, Any]) -> str | None:
    """The application that this process is building for Serve, if it is a task that does.

    Such a task is not told the name. While it runs, the application counts as being deployed.
    """
    task = ray.get_runtime_context().get_task_name() if ray.is_initialized() else None
    if task is None or not task.endswith(_BUILD_TASK):
        return None
    names = [name for name, app in known.items() if app["status"] == "DEPLOYING"]
    return names[0] if len(names) == 1 else None


def without_application(snapshot: ClusterSnapshot, name: str) -> ClusterSnapshot:
    """The cluster as it will be when Serve has replaced all replicas of an application."""
    beginnings = (f"SERVE_REPLICA::{name}#", f"SERVE_GANG::{name}_")
    for group in snapshot.groups:
        if group.name.startswith(beginnings):
            snapshot = snapshot.without(group)
    return snapshot


def note_selectors(app: str, models: Iterable[tuple[str, Selectors | None]]) -> None:
    """Note the selectors that each model of an application was given; Serve does not tell them.

    Blocking.
    """
    given = [
        [model_id, selectors and [dict(s) for s in selectors]] for model_id, selectors in models
    ]
    records.put(f"{_NOTED}{app}", {"models": given})


def forget_selectors(app: str) -> None:
    """Forget what was noted of an application. Blocking."""
    records.erase(f"{_NOTED}{app}")


def present_selectors(
    app: str | None, known: Mapping[str, Any], configs: Sequence[LLMConfig]
) -> list[Selectors | None]:
    """The bundle label selectors that the deployment of each config has now, or `None`. Blocking."""
    if app is None or app not in known:
        return [None] * len(configs)
    noted = (records.get(f"{_NOTED}{app}") or {}).get("models", [])
    return matched(noted, known[app].get("deployments") or {}, configs)


def matched(
    noted: Sequence[Sequence[Any]], deployments: Iterable[str], configs: Sequence[LLMConfig]
) -> list[Selectors | None]:
    """For each config what was noted of the same model, the first of that id with the first.

    Nothing of a model that has no deployment: what was noted of it is old.
    """
    names = list(deployments)
    left = [(model_id, selectors) for model_id, selectors in noted]
    found: list[Selectors | None] = []
    for config in configs:
        name = config.model_id.replace("/", "--").replace(".", "_")
        at = next((i for i, (model_id, _) in enumerate(left) if model_id == config.model_id), None)
        there = any(key == name or key.endswith(f":{name}") for key in names)
        found.append(left.pop(at)[1] if at is not None and there else None)
    return found
