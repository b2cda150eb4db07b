"""Bring models to the hosts of a plan before Serve reserves anything there.

A replica that starts on one of these hosts finds its files, and moves no byte. As with a node, the
hosts of one model agree who fetches from the source, and what may be gone next time is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import attrs

from nodeinit.clusters.base import Cluster, FetchJob, Progress, Team
from nodeinit.context import CallbackCtx, NodeModelDownloadable, NodeReport
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import published_path
from nodeinit.errors import TemporaryError
from nodeinit.fsm.registry import load_machine
from nodeinit.node.alike import check_alike
from nodeinit.node.initializer import STANDARD
from nodeinit.node.phases import NodePhase
from nodeinit.node.policy import policy_of
from nodeinit.node.totals import Totals
from nodeinit.ray.llm.preparing import Prepared

OnProgress = Callable[[str, Progress], Any]
"""Is told the id of a model, and how far one of its hosts is."""


@attrs.frozen
class Brought:
    """A model that is on its hosts, or in `reason` why that was left to the replicas."""

    model_id: str
    reports: tuple[NodeReport, ...] = ()
    reason: str | None = None

    @property
    def fetched(self) -> int:
        """The bytes that had to be moved."""
        return sum(report.fetched for report in self.reports)


async def prefetch(
    cluster: Cluster,
    models: Sequence[Prepared],
    on_progress: OnProgress = lambda model_id, progress: None,
) -> tuple[Brought, ...]:
    """Bring each model to the hosts of its plans, all at once. A cancel ends all of it first.

    Raises what the first that failed raised, after the others were stopped.
    """
    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            for model in models:
                tasks.append(group.create_task(_bring(cluster, model, on_progress)))
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    return tuple(task.result() for task in tasks)


async def _bring(cluster: Cluster, model: Prepared, on_progress: OnProgress) -> Brought:
    config = model.config
    if (reason := _left_alone(model)) is not None:
        return Brought(config.model_id, reason=reason)
    manifest = await cluster.manifest(config.without_callbacks())
    policy, name = policy_of(config, load_machine(STANDARD)), f"prefetch-{uuid.uuid4().hex[:8]}"
    limits = policy.of(NodePhase.DOWNLOAD)
    for tried in range(1, limits.attempts + 1):
        try:
            async with _within(limits.deadline, config.model_id):
                reports = await _on_all(cluster, model, manifest, f"{name}-{tried}", on_progress)
            return Brought(config.model_id, reports)
        except TemporaryError as error:
            if tried == limits.attempts:
                raise
            await asyncio.sleep(policy.backoff(NodePhase.DOWNLOAD, 1, tried, error.delay))
    raise AssertionError("the last try returns or raises")


@contextlib.asynccontextmanager
async def _within(deadline: float, model_id: str) -> AsyncIterator[None]:
    """What takes longer than a deadline (seconds) is ended, and may be tried again."""
    try:
        async with asyncio.timeout(deadline):
            yield
    except TimeoutError as error:
        raise TemporaryError(
            f"{model_id} was not brought within {deadline:g} s "
            "(experimental_configs.nodeinit.deadlines.download)"
        ) from error


def _left_alone(model: Prepared) -> str | None:
    """Why a model is not brought beforehand."""
    if model.reason is not None:  # its engine would not look where we bring it
        return model.reason
    if not model.hosts:
        return "it begins with no replica"
    if model.config.callbacks:
        return "its callbacks decide what is downloaded, in the replica"
    return None


async def _on_all(
    cluster: Cluster, model: Prepared, manifest: Manifest, name: str, on_progress: OnProgress
) -> tuple[NodeReport, ...]:
    """One try on all hosts. The first that fails stops the others."""
    config, hosts = model.config.without_callbacks(), model.hosts
    totals = Totals(
        len(hosts), lambda p: on_progress(config.model_id, p), asyncio.get_running_loop().time
    )
    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            for host in hosts:
                job = FetchJob(
                    name=f"{name}-{host}",
                    manifest=manifest,
                    mode=NodeModelDownloadable.MODEL_AND_TOKENIZER,
                    path=str(published_path(config.nodeinit.store, manifest)),
                    ctx=CallbackCtx(llm_config=config, runtime_env=config.runtime_env),
                    team=Team(name, hosts),
                    keep=True,
                )
                tasks.append(group.create_task(cluster.fetch(host, job, totals)))
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    reports = tuple(task.result() for task in tasks)
    check_alike(reports)
    return reports


def _first(failures: BaseExceptionGroup) -> BaseException:
    """The failure to report of several: one that rules out trying again, if there is any."""
    leaves = [
        _first(one) if isinstance(one, BaseExceptionGroup) else one for one in failures.exceptions
    ]
    lasting = [leaf for leaf in leaves if not isinstance(leaf, TemporaryError)]
    return (lasting or leaves)[0]
