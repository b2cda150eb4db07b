"""What processes leave behind that are no more; what the living hold is never touched."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import attrs
import ray
from ray.util import placement_group, remove_placement_group

from nodeinit.clusters.base import FetchJob
from nodeinit.placement.topology import UNIT, PlacementPlan
from nodeinit.ray import RayCluster, group_notes, owners, records, workers
from nodeinit.ray.leftovers import Kind
from tests.ray.conftest import GPUS, on_hosts, run, standing
from tests.ray.drivers import driver, heard, tell
from tests.ray.test_reservations import hosts_of


def reserving_actor(plan: PlacementPlan, name: str) -> Any:
    """An actor of this job that has reserved a plan."""

    class Replica:
        def reserve(self) -> None:
            asyncio.run(RayCluster().reserve(plan, name))

    actor = ray.remote(Replica).options(num_cpus=0).remote()
    ray.get(actor.reserve.remote())
    return actor


def end(actor: Any) -> None:
    """Kill an actor, and wait until Ray has taken note of it."""
    ray.kill(actor)
    wait_until(lambda: bool(owners.gone(note.owner for note in group_notes.all_notes())))


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_group_has_a_note_for_as_long_as_it_lives(cluster: RayCluster) -> None:
    async def main() -> None:
        assert group_notes.all_notes() == []
        await cluster.reserve(on_hosts(hosts_of(cluster)[0]), "llm/1")
        (note,) = group_notes.all_notes()
        assert (note.name, note.owner.pid) == ("llm/1", os.getpid())
        assert group_notes.all_notes("llm/1") == [note]
        assert group_notes.all_notes("llm") == []
        assert [row.name for row in group_notes.groups_of(note)] == ["llm/1"]
        await cluster.remove("llm/1")
        assert group_notes.all_notes() == []

    run(main)


def test_a_group_of_an_actor_that_was_killed_is_left_over_until_it_is_swept(
    cluster: RayCluster,
) -> None:
    host = hosts_of(cluster)[1]
    actor = reserving_actor(on_hosts(*[host] * 3), "llm")

    async def main() -> None:
        assert (await cluster.checkup()).leftovers == ()  # its owner lives
        end(actor)
        found = (await cluster.checkup()).leftovers
        assert [(one.kind, one.name) for one in found] == [(Kind.GROUP, "llm")]
        assert found[0].row is not None and set(found[0].row.node_ids) == {host}
        assert "has ended" in found[0].why
        assert await standing(cluster) == (["llm"], 3 * GPUS - 3)  # looking changes nothing
        assert await cluster.sweep(found) == ()
        assert await standing(cluster) == ([], 3 * GPUS)
        assert group_notes.all_notes() == []
        assert (await cluster.checkup()).leftovers == ()

    run(main)


def test_a_driver_that_is_killed_leaves_a_note_and_no_group(cluster: RayCluster) -> None:
    with driver("llm", 2, hosts_of(cluster)[0]) as process:
        tell(process)
        assert heard(process) == "reserved"
        process.kill()
        process.wait()

    async def main() -> None:
        wait_until(lambda: bool(owners.gone(n.owner for n in group_notes.all_notes())))
        found = (await cluster.checkup()).leftovers
        assert [(one.kind, one.name, one.row) for one in found] == [(Kind.NOTE, "llm", None)]
        assert found[0].why.startswith("its job ") and found[0].why.endswith(" has finished")
        assert await cluster.sweep(found) == ()
        assert group_notes.all_notes() == []

    run(main)


def test_what_a_living_process_elsewhere_holds_is_not_touched(cluster: RayCluster) -> None:
    first, second, _ = hosts_of(cluster)
    with driver("llm", 2, first) as process:
        tell(process)
        assert heard(process) == "reserved"

        async def main() -> None:
            found = await cluster.checkup()
            assert (found.leftovers, found.waiting, found.gaps) == ((), (), ())
            await cluster.remove("llm")
            assert await standing(cluster) == (["llm"], 3 * GPUS - 2)
            # Names are unique in a job only: ours of the same name is another group.
            await cluster.reserve(on_hosts(second), "llm")
            await cluster.remove("llm")
            assert await standing(cluster) == (["llm"], 3 * GPUS - 2)

        run(main)
        tell(process)
        assert heard(process) == "removed"


def test_a_group_without_a_note_is_not_ours_whatever_its_name(cluster: RayCluster) -> None:
    actor = reserving_actor(on_hosts(hosts_of(cluster)[0]), "llm")
    end(actor)
    others = placement_group([{"GPU": 1}], name="llm-1")

    async def main() -> None:
        await cluster.observe(others)
        (found,) = (await cluster.checkup()).leftovers
        await cluster.sweep([found])
        assert (await standing(cluster))[0] == ["llm-1"]
        await cluster.remove("llm-1")
        assert (await standing(cluster))[0] == ["llm-1"]
        remove_placement_group(others)

    run(main)


def test_a_fetch_of_a_process_that_is_no_more_is_cleared(
    cluster: RayCluster, job: Callable[..., FetchJob]
) -> None:
    host = hosts_of(cluster)[0]
    actor = reserving_actor(on_hosts(host), "llm")
    (note,) = group_notes.all_notes()
    workers.leave_trace("fetch-1", workers.Trace(host, None, note.owner))
    workers.leave_trace("fetch-2", workers.Trace(host, None, owners.this_process()))
    end(actor)

    async def main() -> None:
        found = (await cluster.checkup()).leftovers
        assert [(one.kind, one.name) for one in found] == [("group", "llm"), ("fetch", "fetch-1")]
        assert await cluster.sweep(found) == ()
        assert list(workers.traces()) == ["fetch-2"]
        workers.erase_trace("fetch-2")

    run(main)


def test_of_a_process_that_ray_has_forgotten_its_host_is_asked(cluster: RayCluster) -> None:
    me = owners.this_process()
    unknown = attrs.evolve(me, worker_id=ray.WorkerID.from_random().hex())
    ended = attrs.evolve(unknown, started="1")  # another process had the number before
    nobody = attrs.evolve(unknown, pid=2**22 + 1)
    untold = attrs.evolve(nobody, started="")
    lost = attrs.evolve(unknown, node_id="ab" * 28, host="gpu-7")
    found = owners.gone([me, unknown, ended, nobody, untold, lost])
    assert set(found) == {ended, nobody, lost}
    assert found[lost] == "its host gpu-7 is dead"


def test_notes_are_kept_by_key(cluster: RayCluster) -> None:
    assert records.put("test/a", {"n": 1}, overwrite=False)
    assert not records.put("test/a", {"n": 2}, overwrite=False)
    assert records.get("test/a") == {"n": 1}
    records.put("test/b", {"n": 3})
    assert records.under("test/") == {"a": {"n": 1}, "b": {"n": 3}}
    for key in ("test/a", "test/b", "test/b"):
        records.erase(key)
    assert records.get("test/a") is None and records.under("test/") == {}


def test_gpus_that_an_actor_or_a_task_holds_outside_groups_are_told_apart(
    cluster: RayCluster,
) -> None:
    class Holder:
        def ready(self) -> str:
            return str(ray.get_runtime_context().get_node_id())

    @ray.remote(num_gpus=2, num_cpus=0)
    def task() -> None:
        time.sleep(600)

    holder = ray.remote(Holder).options(num_gpus=1, num_cpus=0, name="engine").remote()
    home = ray.get(holder.ready.remote())
    running = task.remote()

    async def main() -> None:
        async def free() -> int:
            return sum(host.free("GPU") for host in (await cluster.snapshot()).alive)

        while await free() > (3 * GPUS - 3) * UNIT:
            await asyncio.sleep(0.05)
        await cluster.reserve(on_hosts(hosts_of(cluster)[0]), "llm")
        gaps = (await cluster.checkup()).gaps
        assert sum(gap.taken for gap in gaps) == 3 * UNIT
        assert sum(gap.unknown for gap in gaps) == 2 * UNIT
        assert {gap.node_id: gap.outsiders for gap in gaps}[home] == ("engine",)
        ray.cancel(running, force=True)
        ray.kill(holder)
        await cluster.remove("llm")

    run(main)
