"""When a replica counts as up, and what it says when it is not."""

from __future__ import annotations

import enum

from nodeinit.errors import NodeInitError
from nodeinit.node.status import Status


class Mode(enum.StrEnum):
    """When Serve may send a replica requests.

    `WAIT`: when its node is ready and its engine is up. Until then it is STARTING to Serve, which
    routes nothing to it and, in a rolling update, keeps the old replicas. While there is no other
    replica, requests wait in Serve's proxy (`request_timeout_s`, `max_queued_requests`). This is
    the default, and what a service wants. `EARLY`: at once. The replica is RUNNING and answers 503
    until it is ready: for one that is asked for `/startupz` directly, or that has something to say
    meanwhile. A rolling update stops the old replicas before the new ones are ready.
    """

    WAIT = "wait"
    EARLY = "early"


class NotReady(NodeInitError):
    """A replica was called whose node is not ready; `status` says where it is."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(f"not ready yet: {status.explain}")


class ReplicaFailed(NodeInitError):
    """A replica's node came to an end that nobody asked for: Serve is to replace the replica."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(status.explain)
