"""Prepare an application on the cluster that this process is connected to, and bring its models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import ray

from nodeinit.clusters.base import Cluster, Progress
from nodeinit.config import LLMConfig
from nodeinit.node.sync import LoopThread
from nodeinit.placement.replicas import Replica
from nodeinit.ray.cluster import RayCluster
from nodeinit.ray.llm import deployed
from nodeinit.ray.llm.prefetch import prefetch
from nodeinit.ray.llm.preparing import Preparation, check_fits, prepare

log = logging.getLogger("nodeinit.ray.llm")

_NAMESPACE = "serve"

REPLACED: ContextVar[str | None] = ContextVar("replaced", default=None)
"""The application that is built anew, where Serve's own build does not say so."""


def prepared_live(
    configs: Sequence[LLMConfig],
    *,
    beside: Sequence[Replica] = (),
    written: Sequence[Any] = (),
) -> Preparation:
    """Plan an application and bring its models to the hosts of the plan. Blocking.

    Connects this process to Ray, as `serve.run` would, if it is not. With a running event loop or
    without; an interrupt ends the downloads first. Raises as `build_openai_app` does.
    """
    if not ray.is_initialized():
        ray.init(namespace=_NAMESPACE)
    name = REPLACED.get() or deployed.being_built()
    loop = LoopThread()
    try:
        return loop.run(_prepared(RayCluster(), configs, beside, written, name))
    finally:
        loop.close()


async def _prepared(
    cluster: Cluster,
    configs: Sequence[LLMConfig],
    beside: Sequence[Replica],
    written: Sequence[Any],
    name: str | None,
) -> Preparation:
    known = deployed.applications()
    snapshot = await cluster.snapshot()
    if name is not None:
        snapshot = deployed.without_application(snapshot, name)
    present = deployed.present_selectors(name, known, configs)
    pinning = deployed.takes_selectors()
    if not pinning:
        log.warning(
            "this Ray Serve cannot hold deployments to hosts; where they start is Ray's choice"
        )
    ready = prepare(
        configs, snapshot, beside=beside, written=written, present=present, pinning=pinning
    )
    check_fits(ready)
    for replica, why in ready.planned.refused:
        log.warning("%s does not fit now, and is left to Ray (pin: none): %s", replica.name, why)
    for model in ready.models:
        if model.reason is not None:
            log.warning("%s: its replicas start without nodeinit: %s", model.model_id, model.reason)
    told = _Told()
    for brought in await prefetch(cluster, ready.models, told):
        if brought.reason is not None:
            log.info("%s was not brought beforehand: %s", brought.model_id, brought.reason)
        else:
            count, moved = len(brought.reports), brought.fetched
            log.info("%s is on %d hosts, %d bytes moved", brought.model_id, count, moved)
    return ready


class _Told:
    """Logs a line for each tenth of what a model's hosts bring."""

    def __init__(self) -> None:
        self._tenths: dict[tuple[str, str], int] = {}

    def __call__(self, model_id: str, progress: Progress) -> None:
        if progress.total <= 0:
            return
        key, tenth = (model_id, progress.node_id), 10 * progress.done // progress.total
        if tenth > self._tenths.get(key, 0):
            self._tenths[key] = tenth
            where = progress.node_id[:8] or "all hosts"
            log.info("%s: %s %s %d %%", model_id, where, progress.stage, 10 * tenth)
