"""The port between the machine and a cluster: everything an activity asks of the outside world.

`RayCluster` answers with Ray, `SimCluster` from memory; the activities cannot tell which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, NodeModelDownloadable, NodeReport
from nodeinit.download.manifest import Manifest
from nodeinit.placement.topology import ClusterSnapshot, Placement, PlacementPlan


@attrs.frozen
class Progress:
    """How far a host is: bytes done and to do, the file being fetched, and what it is doing.

    `note` is for people, and the same for all hosts of a download: how they fetch, and why. With
    the `node_id` "" it is about all hosts together. `rate` is in bytes per second, and `left` the
    seconds until all is there, if they can be told.
    """

    node_id: str
    done: int
    total: int
    file: str = ""
    stage: str = "fetch"
    note: str = ""
    rate: float = 0.0
    left: float | None = None


@attrs.frozen
class Team:
    """The hosts that bring one model at the same time, by node id.

    None of them begins before all have found that they can, and they may give each other the files.
    `name` is this download's own on the cluster.
    """

    name: str
    node_ids: tuple[str, ...]


@attrs.frozen
class FetchJob:
    """What one host has to bring, and what its `on_node_download` hooks get.

    `name` identifies the job on the cluster. `path` is where the model is to be published (or
    already lies, when `verify_only`). `hooks` are the callbacks that have an `on_node_download`; they
    are made anew on the host from their specification, never pickled with the config.
    `hook_deadline` (seconds) bounds each of their calls. A job without a `team` is alone.
    `user` is the node that uses the model from now on, until `Cluster.let_go`; a job without one is
    for nobody in particular. With `keep` a cancel leaves in staging what has come.
    """

    name: str
    manifest: Manifest
    mode: NodeModelDownloadable
    path: str
    ctx: CallbackCtx
    hooks: tuple[CallbackSpec, ...] = ()
    hook_deadline: float | None = None
    verify_only: bool = False
    team: Team | None = None
    user: str = ""
    keep: bool = False


class Cluster(Protocol):
    """What a node needs of a cluster. Errors are `TemporaryError` or `PermanentError`."""

    async def snapshot(self) -> ClusterSnapshot:
        """Hosts, free resources and live groups, now."""
        ...

    async def manifest(self, config: LLMConfig) -> Manifest:
        """Read the manifest of a config's model, without bringing its files anywhere.

        What is worth remembering of it (digests of big files) is remembered in the store.
        """
        ...

    async def fetch(
        self, node_id: str, job: FetchJob, on_progress: Callable[[Progress], None]
    ) -> NodeReport:
        """Bring (or verify) a job's files on one host and run `on_node_download` there.

        Cancelling the call stops the work on the host and returns once the host has said so.
        """
        ...

    async def reserve(self, plan: PlacementPlan, name: str) -> Placement:
        """Reserve a plan's bundles as a group called `name`, and read back what came of it.

        As far as `plan.pin` leaves Ray a choice, the bundles may lie elsewhere than planned. Returns
        when the group is created. Raises `Displaced` when the plan's hosts cannot give what it
        needs any more. On any failure or cancellation the group is removed before the call ends.
        """
        ...

    async def probe(self, placement: Placement) -> Placement:
        """The placement with the `gpu_ids` that a process in each of its bundles sees.

        Nothing of ours may run in the bundles yet. Raises `TemporaryError` when one does not say.
        """
        ...

    async def observe(self, group: Any) -> Placement:
        """Where a group that somebody else made stands, given its handle. Never changes it."""
        ...

    async def remove(self, name: str) -> None:
        """Remove our group called `name`, if there is one, and wait until its resources are back.

        It may be of a process that is no more; one that a living process elsewhere owns stays.
        """
        ...

    async def lost(self, placement: Placement) -> str:
        """Wait until a placement is no longer good (a host died, a bundle moved); say why."""
        ...

    async def stop_fetch(self, name: str) -> None:
        """Make sure that nothing of the fetch called `name` is left running or half-written."""
        ...

    async def let_go(self, user: str) -> None:
        """A node, the `user` of its jobs, needs its model no more: it may be removed from hosts.

        One that does not say so uses it for as long as its process lives.
        """
        ...

    async def close(self) -> None:
        """Give back what the cluster object itself holds (an embedded Ray, say)."""
        ...


class Displaced(Exception):  # an outcome, not an error
    """Capacity that a plan counted on is gone; planning again may find other hosts."""
