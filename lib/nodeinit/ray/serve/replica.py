"""The node of one replica: brought up on the replica's own loop, told about, and given back."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import ray
from ray import serve

from nodeinit.config import LLMConfig
from nodeinit.fsm.events import Frame
from nodeinit.fsm.registry import load_machine
from nodeinit.node.initializer import STANDARD, NodeInitializer
from nodeinit.node.policy import policy_of
from nodeinit.node.ready import ReadyNode
from nodeinit.node.status import Status, StatusReason
from nodeinit.ray import posts
from nodeinit.ray.posts import Posted
from nodeinit.ray.serve.adopting import adopting
from nodeinit.ray.serve.modes import NotReady, ReplicaFailed
from nodeinit.ray.tidying import GROUPS, tidy
from nodeinit.redact import redact_text
from nodeinit.telemetry import observe

log = logging.getLogger("nodeinit.ray.serve")

ENGINE = "engine"
"""The phase after the node's own: the user's class loads its engine."""

_PAUSE = 1.0  # seconds between two posts that tell only progress


class ReplicaNode:
    """Brings up one node for one replica; `options` are those of `NodeInitializer`.

    A ready node that loses its placement is not healed in place, as the engine in it is broken too:
    it fails, and Serve replaces the replica, which finds the files where they are.
    """

    def __init__(self, config: LLMConfig, **options: Any) -> None:
        context = serve.get_replica_context()
        actor = context.replica_id.to_full_id_str()
        machine = options.pop("machine", None) or STANDARD
        machine = load_machine(machine) if isinstance(machine, str) else machine
        policy = options.pop("policy", None) or attrs.evolve(policy_of(config, machine), heal=False)
        self.initializer = NodeInitializer(
            adopting(config), machine=machine, policy=policy, name=_slug(actor), **options
        )
        self._kin = _slug(actor.rpartition("#")[0]) + "-"  # what the names of its like begin with
        self._tidying: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[NodeInitializer] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._loading: datetime | None = None  # since when the engine is being loaded
        self._up = False
        self._failed: StatusReason | None = None
        self._posted_at = 0.0
        self._posted = Posted(
            app=context.app_name,
            deployment=context.deployment,
            replica=context.replica_tag,
            actor=actor,
            node_id=ray.get_runtime_context().get_node_id(),
            status=self.initializer.status(),
        )

    # -- what can be seen ----------------------------------------------------------------------

    def status(self) -> Status:
        """Where the replica stands: its node, then its engine. It is ready when both are up."""
        status = self.initializer.status()
        if self._failed is not None:
            text = f"The replica's engine failed: {self._failed.message}."
            return attrs.evolve(
                status, phase=Frame.FAILED, ready=False, reason=self._failed, explain=text
            )
        if not status.ready or self._up:
            return status
        text = "The node is ready; its engine is being loaded."
        since = self._loading or status.since
        return attrs.evolve(status, phase=ENGINE, ready=False, since=since, explain=text)

    @property
    def ready(self) -> ReadyNode:
        """The node, once it is ready. Raises `NotReady` before."""
        if self.initializer.state != Frame.READY:
            raise NotReady(self.status())
        return ReadyNode(self.initializer)

    def check(self) -> None:
        """Raise `ReplicaFailed` when the node has ended though nobody stopped the replica."""
        status = self.status()
        if status.over and self._stopping is None:
            raise ReplicaFailed(status)

    # -- what is done --------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the machine, once the groups of replicas that were killed are out of its way."""
        await tidy(self._kin, GROUPS)
        observe(self.initializer)
        self.initializer.subscribe(lambda step: self._post())
        self.initializer.subscribe_progress(lambda report: self._post(only_progress=True))
        if self._stopping is not None:
            raise NotReady(self.status())
        self._starting = asyncio.ensure_future(self.initializer.__aenter__())
        await asyncio.shield(self._starting)

    async def until_ready(self) -> None:
        """Wait for the node. Raises `InitializationFailed` with the reason."""
        await self.initializer.wait_for(Frame.READY)
        self._loading = datetime.now(UTC)
        self._tidying = asyncio.ensure_future(tidy(self._kin))

    async def load(self, engine: Callable[[], Any] | None) -> None:
        """Have the user's class load its engine, off the loop if it is not async."""
        await asyncio.to_thread(self._post)
        try:
            if engine is not None:
                if inspect.iscoroutinefunction(engine):
                    await engine()
                elif inspect.isawaitable(answer := await asyncio.to_thread(engine)):
                    await answer
        except Exception as error:
            text = redact_text(f"{type(error).__name__}: {error}")
            self._failed = StatusReason("engine", text, ENGINE)
            raise
        else:
            self._up = True
        finally:
            await asyncio.to_thread(self._post)

    async def stop(self) -> None:
        """Cancel or release, and wait until nothing is held. Safe to repeat; a cancel cannot cut it."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._starting is not None:
            await asyncio.wait({self._starting})
        await self.initializer.cancel("the replica was stopped")
        await self.initializer.__aexit__()
        await (self._tidying or tidy(self._kin))
        with contextlib.suppress(Exception):  # its actor ends now: what stays does not count
            await asyncio.to_thread(posts.withdraw, self._posted)

    def _post(self, *, only_progress: bool = False) -> None:
        now = time.monotonic()
        if only_progress and now - self._posted_at < _PAUSE:
            return
        self._posted_at = now
        self._posted = attrs.evolve(self._posted, status=self.status())
        try:
            posts.post(self._posted)
        except Exception as error:  # the node does not depend on being heard
            log.debug("%s: could not post its status: %s", self.initializer.name, error)


def _slug(actor: str) -> str:
    """A name for the node of a replica: that of its actor, in letters that everybody takes."""
    text = re.sub(r"[^a-zA-Z0-9]+", "-", actor.removeprefix("SERVE_REPLICA")).strip("-").lower()
    return f"nodeinit-{text}"
