"""Models are brought to the hosts of a plan before anything is reserved; in memory, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.clusters.simulated import SIM_MANIFEST, SimCluster, SimFault, sim_host
from nodeinit.config import LLMConfig
from nodeinit.context import NodeReport
from nodeinit.download.manifest import total_size
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.ray.llm.prefetch import Brought, prefetch
from nodeinit.ray.llm.preparing import prepare
from nodeinit.testing.virtual_time import run_virtual

SIZE = total_size(SIM_MANIFEST.files)


@attrs.define(init=False)
class Watched(SimCluster):
    """Remembers the jobs."""

    def __init__(self, *faults: SimFault, **more: Any) -> None:
        hosts = [sim_host(name, GPU=4, CPU=32) for name in "abcd"]
        super().__init__(hosts, faults=faults, **more)
        self.jobs: list[FetchJob] = []

    async def fetch(self, node_id: str, job: FetchJob, on_progress: Any) -> NodeReport:
        self.jobs.append(job)
        return await super().fetch(node_id, job, on_progress)


def config(name: str, tp: int = 1, replicas: int = 1, **more: Any) -> LLMConfig:
    return LLMConfig(
        model_id=name,
        engine_kwargs={"tensor_parallel_size": tp},
        deployment_config={"num_replicas": replicas},
        **more,
    )


def brought(
    cluster: Watched, *configs: LLMConfig, told: list[Any] | None = None
) -> tuple[Brought, ...]:
    async def main() -> tuple[Brought, ...]:
        found = prepare(configs, await cluster.snapshot())
        seen: list[Any] = [] if told is None else told
        return await prefetch(cluster, found.models, lambda *said: seen.append(said))

    return run_virtual(main())


def test_the_hosts_of_the_plan_get_the_model_and_no_others() -> None:
    cluster, told = Watched(), list[tuple[str, Progress]]()
    (model,) = brought(cluster, config("m", 4, 2), told=told)
    assert {report.node_id for report in model.reports} == {"a", "b"}
    assert all(report.verified for report in model.reports)
    assert model.fetched == 2 * SIZE
    assert [bool(host.published) for host in cluster.hosts.values()] == [True, True, False, False]
    assert not cluster.groups, "nothing may be reserved while bytes move"
    assert {model_id for model_id, _ in told} == {"m"}


def test_what_is_there_is_not_moved_again() -> None:
    cluster = Watched()
    brought(cluster, config("m"))
    (again,) = brought(cluster, config("m"))
    assert (again.fetched, len(again.reports)) == (0, 1)


def test_the_hosts_of_a_model_are_one_team_and_keep_what_came() -> None:
    cluster = Watched()
    brought(cluster, config("m", 4, 2), config("n", 4))
    teams = {job.team for job in cluster.jobs}
    assert sorted(len(team.node_ids) for team in teams if team) == [1, 2]
    assert all(job.keep and not job.user for job in cluster.jobs)


def test_what_fails_for_a_moment_is_tried_again() -> None:
    cluster = Watched(SimFault("fetch", "temporary"))
    (model,) = brought(cluster, config("m"))
    assert model.fetched == SIZE
    assert len(cluster.jobs) == 2


def test_it_is_tried_as_often_as_the_config_says() -> None:
    faults = [SimFault("fetch", "temporary", call) for call in range(9)]
    cluster = Watched(*faults)
    asked = {"nodeinit": {"attempts": {"download": 2}}}
    with pytest.raises(TemporaryError, match="failed for the moment"):
        brought(cluster, config("m", experimental_configs=asked))
    assert len(cluster.jobs) == 2


def test_a_host_that_hangs_ends_at_the_deadline_with_the_key_to_change() -> None:
    asked = {"nodeinit": {"attempts": {"download": 1}, "deadlines": {"download": 40}}}
    with pytest.raises(
        TemporaryError, match=r"m was not brought within 40 s .*deadlines\.download"
    ):
        brought(Watched(SimFault("fetch", "hang")), config("m", experimental_configs=asked))


def test_one_that_fails_for_good_stops_the_others() -> None:
    cluster = Watched(SimFault("fetch", "permanent"), SimFault("fetch", "hang", 1))
    with pytest.raises(PermanentError, match="failed for good"):
        brought(cluster, config("m", 4), config("n", 4))
    assert not cluster.fetching


def test_of_several_failures_the_one_that_lasts_is_told() -> None:
    """Nothing is tried again then."""
    cluster = Watched(SimFault("fetch", "permanent"), SimFault("fetch", "temporary", 1))
    with pytest.raises(PermanentError, match="failed for good"):
        brought(cluster, config("m", 4, 2))
    assert len(cluster.jobs) == 2


def test_a_cancel_ends_every_fetch() -> None:
    cluster = Watched(SimFault("fetch", "hang"))

    async def main() -> None:
        found = prepare([config("m")], await cluster.snapshot())
        task = asyncio.create_task(prefetch(cluster, found.models))
        await asyncio.sleep(1)
        assert cluster.fetching
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert not cluster.fetching


def test_what_is_left_to_the_replicas_says_why() -> None:
    cluster = Watched()
    gang = LLMConfig(model_id="gang", engine_kwargs={"data_parallel_size": 2})
    models = brought(cluster, gang, config("hooked", callback="my:Callback"), config("no", 1, 0))
    assert not cluster.jobs
    reasons = [model.reason or "" for model in models]
    assert reasons[0].startswith("engine_kwargs.data_parallel_size = 2")
    assert reasons[1:] == [
        "its callbacks decide what is downloaded, in the replica",
        "it begins with no replica",
    ]
