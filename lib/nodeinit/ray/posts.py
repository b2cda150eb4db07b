"""Where replicas post how they are, so that all of the cluster can read it. Blocking calls.

Serve routes nothing to a replica that initializes, so nobody can ask it. It posts its status with
Ray's head instead; what a replica that is no more has posted does not count.
"""

from __future__ import annotations

from typing import Any

import attrs
import ray

from nodeinit.node.status import Status
from nodeinit.ray import records

_PREFIX = "replica/"
_OF_LLM = "serving/"  # `nodeinit.ray.llm.board`: the status alone, under app/deployment/replica
_NAMESPACE = "serve"  # ray.serve._private.constants.SERVE_NAMESPACE


@attrs.frozen
class Posted:
    """How a replica is, as it said last. `node_id` is its host, `actor` the name of its actor."""

    app: str
    deployment: str
    replica: str
    actor: str
    node_id: str
    status: Status

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{_PREFIX}{self.app}/{self.deployment}/{self.replica}"

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {**attrs.asdict(self, recurse=False), "status": self.status.to_dict()}


def post(posted: Posted) -> None:
    """Say how a replica is."""
    records.put(posted.key, posted.to_dict())


def withdraw(posted: Posted) -> None:
    """Say no more of a replica."""
    records.erase(posted.key)


def posted(app: str | None = None, deployment: str | None = None) -> tuple[Posted, ...]:
    """How all replicas are that are there, or those of an application, or of one deployment.

    Those of `ray.serve.llm` with our callback are among them; their `node_id` is "".
    """
    within = "" if app is None else f"{app}/"
    found = [_read(note) for note in records.under(_PREFIX + within).values()]
    told = records.under(_OF_LLM + within)
    found += [_of_llm(within + key, status) for key, status in told.items()]
    alive = _actors()
    return tuple(
        one for one in found if one.actor in alive and deployment in (None, one.deployment)
    )


def forget_the_gone() -> tuple[str, ...]:
    """Remove what replicas posted that are no more; answers their actors' names."""
    alive = _actors()
    gone = [one for one in map(_read, records.under(_PREFIX).values()) if one.actor not in alive]
    for one in gone:
        withdraw(one)
    return tuple(one.actor for one in gone)


def _read(note: dict[str, Any]) -> Posted:
    return Posted(**{**note, "status": Status.from_dict(note["status"])})


def _of_llm(key: str, status: dict[str, Any]) -> Posted:
    app, deployment, replica = key.split("/", 2)
    actor = f"SERVE_REPLICA::{app}#{deployment}#{replica}"  # ReplicaID.to_full_id_str
    return Posted(app, deployment, replica, actor, "", Status.from_dict(status))


def _actors() -> frozenset[str]:
    named = ray.util.list_named_actors(all_namespaces=True)
    return frozenset(row["name"] for row in named if row["namespace"] == _NAMESPACE)
