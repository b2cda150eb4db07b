"""How deployments are: what Serve says of their replicas, and what the replicas say themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from nodeinit.fsm.events import FINALS, Frame
from nodeinit.node.status import Status
from nodeinit.ray.posts import Posted
from nodeinit.ray.serve.replica import ENGINE

PENDING = "pending"
"""The phase of a deployment that is not ready and of which no replica says anything: Serve waits."""

_FAR = (Frame.RELEASING, Frame.IDLE, "config", Frame.BACKOFF, "download", "placement")


@attrs.frozen
class DeploymentView:
    """One deployment. `states` counts its replicas by Serve's states, `message` is Serve's."""

    app: str
    deployment: str
    states: Mapping[str, int]
    message: str
    replicas: tuple[Posted, ...]

    @property
    def ready(self) -> bool:
        """Whether requests can be answered: one replica that runs, and says so if it has a node."""
        runs = self.states.get("RUNNING", 0) > 0
        return runs and (not self.replicas or any(one.status.ready for one in self.replicas))

    @property
    def spokesman(self) -> Status | None:
        """The status that stands for all: of a ready replica, or of the one that is least far."""
        statuses = [one.status for one in self.replicas if one.status.ready or not self.ready]
        return min(statuses, key=_far, default=None)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        replicas = [
            {"replica": one.replica, "node_id": one.node_id, **one.status.to_dict()}
            for one in self.replicas
        ]
        return {
            "app": self.app,
            "deployment": self.deployment,
            "ready": self.ready,
            "states": dict(self.states),
            "message": self.message,
            "replicas": replicas,
        }


@attrs.frozen
class Overview:
    """Several deployments together: ready when all are."""

    deployments: tuple[DeploymentView, ...]

    @property
    def ready(self) -> bool:
        """Whether every deployment is ready, and there is one."""
        return bool(self.deployments) and all(one.ready for one in self.deployments)

    @property
    def left(self) -> float | None:
        """Seconds until the work under way is done, where somebody can tell."""
        told = self._first()
        status = told.spokesman if told else None
        return status.progress.left if status and status.progress else None

    def to_dict(self) -> dict[str, Any]:
        """It as JSON: at the top what a probe wants, of the first deployment that is not ready."""
        return {**self._top(), "ready": self.ready, "deployments": [*self._each()]}

    def _each(self) -> Iterator[dict[str, Any]]:
        return (one.to_dict() for one in self.deployments)

    def _first(self) -> DeploymentView | None:
        late = (one for one in self.deployments if not one.ready)
        told = (one for one in self.deployments if one.replicas)
        return next(late, None) or next(told, None) or next(iter(self.deployments), None)

    def _top(self) -> dict[str, Any]:
        view = self._first()
        if view is not None and (status := view.spokesman) is not None:
            keep = ("phase", "attempt", "progress", "reason", "since", "deadline", "explain")
            told = status.to_dict()
            if status.ready and not view.ready:  # its constructor has not quite returned
                text = "The replica is ready; Serve is about to send it requests."
                told |= {"phase": ENGINE, "explain": text}
            return {name: value for name, value in told.items() if name in keep}
        message = view.message if view else "Serve has no application"
        ready = view is not None and view.ready
        reason = (
            None if ready else {"code": "serve", "message": message or "Serve starts a replica"}
        )
        nothing = dict.fromkeys(("progress", "since", "deadline"))
        phase = str(Frame.READY) if ready else PENDING
        return {"phase": phase, "attempt": 0, "reason": reason, "explain": message, **nothing}


def overview(
    apps: Mapping[str, Any], replicas: Sequence[Posted], only: str | None = None
) -> Overview:
    """What Serve's status of applications and the replicas' own posts make together."""
    views = []
    for app in sorted(apps):
        for name, seen in sorted(apps[app].deployments.items()):
            if only not in (None, name):
                continue
            own = tuple(r for r in replicas if (r.app, r.deployment) == (app, name))
            message = seen.message or apps[app].message
            views.append(DeploymentView(app, name, dict(seen.replica_states), message, own))
        if not apps[app].deployments:
            # The application has not got that far: its code is being imported, or could not be.
            views.append(DeploymentView(app, "", {}, apps[app].message, ()))
    return Overview(tuple(views))


def _far(status: Status) -> int:
    """How far a replica is on its way: what failed least of all, what is ready furthest."""
    if status.phase in FINALS:
        return -1
    if status.ready or status.phase == ENGINE:
        return len(_FAR) + 2 if status.ready else len(_FAR) + 1
    # Phases of a machine of somebody's own come somewhere behind the standard ones.
    return _FAR.index(status.phase) if status.phase in _FAR else len(_FAR)
