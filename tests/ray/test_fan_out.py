"""Several hosts, one origin that counts: how many bytes leave it, and whether all end alike."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from nodeinit.clusters.base import FetchJob, Progress, Team
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, NodeReport
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import published_path, verify
from nodeinit.ray import RayCluster, workers
from tests.download.swarming import ALL, MIB, Origin, install_counted, make_model
from tests.ray.conftest import run

pytest.importorskip("libtorrent")


@attrs.define
class World:
    """A model at a counting origin, and hosts with a store each (or one for all)."""

    cluster: RayCluster
    manifest: Manifest
    origin: Origin
    stores: Path
    heard: list[Progress] = attrs.field(factory=list)

    def jobs(
        self, nodes: tuple[str, ...], *, shared: bool = False, **settings: Any
    ) -> list[FetchJob]:
        config = LLMConfig(
            model_id=self.manifest.model_id,
            model_source=self.manifest.source,
            nodeinit={"download": {"stall": 20.0, **settings}},
        )
        team = Team(f"team-{random.random()}", nodes)
        return [
            FetchJob(
                name=f"{team.name}-{node[:6]}",
                manifest=self.manifest,
                mode=ALL,
                path=str(
                    published_path(self.stores / ("all" if shared else node[:8]), self.manifest)
                ),
                ctx=CallbackCtx(llm_config=config),
                team=team,
            )
            for node in nodes
        ]

    async def bring(
        self, nodes: tuple[str, ...], jobs: list[FetchJob], on: Callable[[Progress], None] = id
    ) -> list[NodeReport]:
        """What `bring_model` does: all side by side, one's failure stops the others."""

        def heard(progress: Progress) -> None:
            self.heard.append(progress)
            on(progress)

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.cluster.fetch(node, job, heard))
                for node, job in zip(nodes, jobs, strict=True)
            ]
        return [task.result() for task in tasks]

    def assert_alike(self, jobs: list[FetchJob], reports: list[NodeReport]) -> None:
        for job in jobs:
            assert verify(job.path, self.manifest, ALL, rehash=True) == ()
            staging = Path(job.path).parent.parent / ".nodeinit" / "staging"
            assert list(staging.iterdir()) == [], "nothing stays in staging"
            assert workers.find(job.name) is None
            assert workers.trace_of(job.name) is None
        assert len({report.digest for report in reports}) == 1


@pytest.fixture
def world(cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    install_counted(tmp_path / "plugins")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    manifest = make_model(tmp_path / "source", files=12, size=2 * MIB)
    origin = Origin(tmp_path / "source", rate=16 * MIB)
    source = origin.url.replace("http", "counted", 1)
    yield World(cluster, attrs.evolve(manifest, source=source), origin, tmp_path / "stores")
    origin.close()


@contextlib.contextmanager
def hosts(cluster: RayCluster, count: int) -> Iterator[tuple[str, ...]]:
    """So many hosts; those that the tests do not have otherwise end afterwards."""
    assert cluster.hosts is not None
    before = cluster.hosts.node_ids
    added = cluster.hosts.add_hosts(count - len(before)) if count > len(before) else ()
    try:
        yield cluster.hosts.node_ids[:count]
    finally:
        for node_id in added:
            cluster.hosts.remove_host(node_id)


@pytest.mark.parametrize("count", [2, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_d19_each_byte_leaves_the_origin_once(world: World, count: int) -> None:
    with hosts(world.cluster, count) as nodes:
        jobs = world.jobs(nodes, strategy="swarm")
        reports = run(lambda: world.bring(nodes, jobs))
        world.assert_alike(jobs, reports)
        assert world.origin.sent <= 1.05 * world.manifest.size
        assert {report.strategy for report in reports} == {"swarm: the config says so"}


def test_auto_says_what_it_chose_and_why(world: World) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes)
    reports = run(lambda: world.bring(nodes, jobs))
    world.assert_alike(jobs, reports)
    said = "swarm: 3 hosts fetch from counted://: each byte leaves it once"
    assert {report.strategy for report in reports} == {said}
    assert {progress.note for progress in world.heard if progress.note} == {said}
    again = run(lambda: world.bring(nodes, world.jobs(nodes)))
    assert {report.strategy for report in again} == {"direct: 3 hosts, and nothing to fetch"}
    assert {report.fetched for report in again} == {0}


def test_d14_hosts_that_share_a_store_fetch_once(world: World) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes, shared=True)
    reports = run(lambda: world.bring(nodes, jobs))
    world.assert_alike(jobs, reports)
    assert {report.strategy for report in reports} == {
        "shared: all 3 hosts see one store; one of them fetches"
    }
    assert sorted(report.fetched for report in reports) == [0, 0, world.manifest.size]
    assert world.origin.sent <= 1.01 * world.manifest.size
    assert not (world.stores / "all" / ".nodeinit" / "signs").exists()


def test_a_store_that_is_not_shared_is_said_so(world: World) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes, strategy="shared")
    with pytest.raises(BaseExceptionGroup) as caught:
        run(lambda: world.bring(nodes, jobs))
    assert "host-2 does not see the store of host-1" in str(caught.value.exceptions[0])
    assert world.origin.sent == 0
