"""Several hosts, one origin that counts: how many bytes leave it, and whether all end alike."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import ray

from nodeinit.clusters.base import FetchJob, Progress, Team
from nodeinit.config import LLMConfig
from nodeinit.config.parts import DownloadSettings
from nodeinit.context import CallbackCtx, NodeReport
from nodeinit.download.manifest import Manifest
from nodeinit.download.sources import source_for
from nodeinit.download.store import published_path, verify
from nodeinit.download.swarm.coordinator import Coordinator
from nodeinit.download.swarm.words import Orders, Report
from nodeinit.errors import PermanentError
from nodeinit.node.initializer import NodeInitializer
from nodeinit.ray import RayCluster, workers
from nodeinit.ray.hosts import host_name
from tests.download.swarming import ALL, MIB, Origin, make_model
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
    made: list[FetchJob] = attrs.field(factory=list)

    def jobs(
        self, nodes: tuple[str, ...], *, shared: bool = False, **settings: Any
    ) -> list[FetchJob]:
        config = LLMConfig(
            model_id=self.manifest.model_id,
            model_source=self.manifest.source,
            nodeinit={"download": {"stall": 20.0, "allow_http": True, **settings}},
        )
        team = Team(f"team-{random.random()}", nodes)
        jobs = [
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
        self.made += jobs
        return jobs

    async def undo(self) -> None:
        """What the machine does when a download failed."""
        await asyncio.gather(*(self.cluster.stop_fetch(job.name) for job in self.made))

    def called(self, place: int) -> str:
        """What errors call a host, by its place among all."""
        return host_name(self.cluster.hosts.node_ids[place])  # type: ignore[union-attr]

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
def world(cluster: RayCluster, tmp_path: Path) -> Iterator[World]:
    make_model(tmp_path / "source", files=12, size=2 * MIB)
    origin = Origin(tmp_path / "source", rate=16 * MIB)
    url = f"{origin.url}/"
    manifest = source_for(url, DownloadSettings(allow_http=True)).manifest(url, "org/model")
    origin.sent = 0  # of the model itself nothing yet
    made = World(cluster, manifest, origin, tmp_path / "stores")
    yield made
    run(made.undo)
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


@pytest.mark.parametrize(
    "count", [pytest.param(2, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow)]
)
def test_d19_each_byte_leaves_the_origin_once(world: World, count: int) -> None:
    with hosts(world.cluster, count) as nodes:
        jobs = world.jobs(nodes, strategy="swarm")
        reports = run(lambda: world.bring(nodes, jobs))
        world.assert_alike(jobs, reports)
        assert world.origin.sent <= 1.05 * world.manifest.size
        assert {report.strategy for report in reports} == {"swarm: the config says so"}


@pytest.mark.slow
def test_auto_says_what_it_chose_and_why(world: World) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes)
    reports = run(lambda: world.bring(nodes, jobs))
    world.assert_alike(jobs, reports)
    said = "swarm: 3 hosts fetch from http://: each byte leaves it once"
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


@pytest.mark.slow
def test_a_store_that_is_not_shared_is_said_so(world: World) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes, strategy="shared")
    with pytest.raises(BaseExceptionGroup) as caught:
        run(lambda: world.bring(nodes, jobs))
    said = f"{world.called(1)} does not see the store of {world.called(0)}"
    assert said in str(caught.value.exceptions[0])
    assert world.origin.sent == 0


async def kill_leader_at(world: World, sent: float) -> None:
    """Kill the process of the leader once the origin has given so many bytes."""
    teams = world.cluster._fetches._teams
    while world.origin.sent < sent:
        await asyncio.sleep(0.01)
    team = next(iter(teams.values()))
    assert team.swarm.leader is not None
    [name] = [one for one in world.cluster._fetches._starting if team.swarm.leader[:6] in one]
    await asyncio.to_thread(kill_process, name)


def kill_process(name: str) -> None:
    actor = workers.find(name)
    pid = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()))
    os.kill(pid, signal.SIGKILL)


def survive_a_dead_leader(world: World, share: float) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes, strategy="swarm")

    async def main() -> list[NodeReport]:
        killing = asyncio.ensure_future(kill_leader_at(world, share * world.manifest.size))
        reports = await world.bring(nodes, jobs)
        await killing
        return reports

    reports = run(main)
    world.assert_alike(jobs, reports)
    assert world.origin.sent <= 1.3 * world.manifest.size


@pytest.mark.slow
def test_a_leader_that_is_killed_is_replaced(world: World) -> None:
    survive_a_dead_leader(world, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(10))
def test_a_leader_may_be_killed_at_any_point(world: World, draw: int) -> None:
    survive_a_dead_leader(world, random.Random(f"point {draw}").random())


def test_d16_one_host_without_room_ends_it_before_the_first_byte(
    world: World, small_disk: Path
) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes)
    jobs[1] = attrs.evolve(jobs[1], path=str(published_path(small_disk, world.manifest)))
    with pytest.raises(BaseExceptionGroup) as caught:
        run(lambda: world.bring(nodes, jobs))
    [error] = [e for e in caught.value.exceptions if isinstance(e, PermanentError)]
    assert str(error).startswith(f"host {world.called(1)}: ")
    assert "too small" in str(error)
    assert world.origin.sent == 0
    for job in jobs:
        assert workers.find(job.name) is None
        run(lambda job=job: world.cluster.stop_fetch(job.name))  # type: ignore[misc]
        assert workers.trace_of(job.name) is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_d17_a_cancel_is_acknowledged_by_all(world: World) -> None:
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    jobs = world.jobs(nodes, strategy="swarm")

    async def main() -> None:
        bringing = asyncio.ensure_future(world.bring(nodes, jobs))
        while world.origin.sent < world.manifest.size / 3:
            await asyncio.sleep(0.02)
        bringing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bringing
        sent = world.origin.sent
        for job in jobs:
            assert workers.find(job.name) is None
            assert workers.trace_of(job.name) is None, "the host said that nothing is left"
        await asyncio.sleep(0.5)
        assert world.origin.sent <= sent + 8 * MIB, "what was on its way, and no more"

    run(main)
    for job in jobs:
        staging = Path(job.path).parent.parent / ".nodeinit" / "staging"
        assert list(staging.iterdir()) == []


@pytest.mark.slow
def test_without_the_wheel_every_host_asks_the_origin(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "libtorrent.py").write_text("raise ImportError('no wheel here')")
    nodes = world.cluster.hosts.node_ids  # type: ignore[union-attr]
    path = os.pathsep.join([str(broken), os.environ.get("PYTHONPATH", "")])
    env = {"env_vars": {"PYTHONPATH": path}}
    jobs = world.jobs(nodes)
    jobs = [attrs.evolve(job, ctx=job.ctx.evolve(runtime_env=env)) for job in jobs]
    reports = run(lambda: world.bring(nodes, jobs))
    world.assert_alike(jobs, reports)
    [strategy] = {report.strategy for report in reports}
    assert f"direct: no swarm, as on {world.called(0)} libtorrent cannot be imported" in strategy
    assert world.origin.sent >= 3 * world.manifest.size - 3 * 2


@pytest.mark.slow
def test_a_swarm_that_stalls_is_left_for_the_origin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodeinit.ray.teams.Coordinator", Deaf)
    nodes = world.cluster.hosts.node_ids[:2]  # type: ignore[union-attr]
    jobs = world.jobs(nodes, strategy="swarm", stall=2.0)
    reports = run(lambda: world.bring(nodes, jobs))
    world.assert_alike(jobs, reports)
    assert "direct: nothing came from the other hosts for 2 s" in {r.strategy for r in reports}


class Deaf(Coordinator):
    """Tells nobody of anybody."""

    def heard(self, member: str, report: Report, now: float) -> Orders:
        return attrs.evolve(super().heard(member, report, now), peers=())


@pytest.mark.slow
def test_a_journal_says_how_a_model_came_and_why(world: World, tmp_path: Path) -> None:
    config = LLMConfig(
        model_id="org/model",
        model_source=world.manifest.source,
        engine_kwargs={"tensor_parallel_size": 8, "pipeline_parallel_size": 3},
        nodeinit={"store": str(tmp_path / "store"), "download": {"allow_http": True}},
    )
    heard: list[Progress] = []

    async def main() -> None:
        async with NodeInitializer(
            config, cluster=world.cluster, journal=tmp_path / "journal"
        ) as node:
            node.subscribe_progress(heard.append)
            await node.wait_for("ready")
            assert len(node.ctx.nodes) == 3

    run(main)
    said = "shared: all 3 hosts see one store; one of them fetches"
    assert (tmp_path / "journal").read_text().count(said) >= 3, "for each host"
    assert said in {progress.note for progress in heard}
    last = [progress for progress in heard if not progress.node_id][-1]
    assert (last.done, last.total, last.left) == (*(3 * world.manifest.size,) * 2, 0.0)
