"""The cluster in memory does what was measured of Ray, its faults included, and always the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import TaskPlacementGroupRemoved

from nodeinit import TemporaryError
from nodeinit.clusters.base import Displaced
from nodeinit.clusters.simulated import RayLike, SimCluster, SimFault, SimGroup, sim_host
from nodeinit.placement.labels import NODE_ID
from nodeinit.placement.topology import UNIT, Bundle, Pin, PlacementPlan
from nodeinit.testing import Scenario, check_callback
from nodeinit.testing.fake_ray import FakeRay
from nodeinit.testing.virtual_time import VirtualLoop, run_virtual
from tests.testing.real_callbacks import HandsOverAtOnce as Adopts

GPU = Bundle.of(GPU=1)


def cluster(*gpus: int, **like: Any) -> SimCluster:
    hosts = [sim_host(n, GPU=g, CPU=8) for n, g in zip("abcdef", gpus, strict=False)]
    return SimCluster(hosts, latency=0.001, ray=RayLike(**like))


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_virtual(main())


def now() -> float:
    return asyncio.get_running_loop().time()


async def created(sim: SimCluster, group: SimGroup, within: float = 60) -> float:
    """When a group is created."""
    async with asyncio.timeout(within):
        while group.state != "CREATED":
            await sim.gcs.change()
    return now()


def gpus_free(sim: SimCluster) -> float:
    return sum(host.free("GPU") for host in sim.now().alive) / UNIT


def on(*node_ids: str, pin: Pin = Pin.NODE) -> PlacementPlan:
    return PlacementPlan((GPU,) * len(node_ids), node_ids, pin=pin)


def test_which_of_equal_hosts_is_open_but_for_the_seed() -> None:
    def chosen(seed: int) -> tuple[str, ...]:
        async def main() -> tuple[str, ...]:
            sim = cluster(2, 2, 2, seed=seed)
            plan = on("a", pin=Pin.NONE)
            return tuple([(await sim.reserve(plan, f"g{n}")).node_ids[0] for n in range(3)])

        found: tuple[str, ...] = run(main)
        return found

    assert {chosen(seed)[0] for seed in range(12)} == {"a", "b", "c"}
    assert [chosen(seed) for seed in range(12)] == [chosen(seed) for seed in range(12)]


def test_a_plan_that_is_pinned_leaves_nothing_open() -> None:
    async def main() -> None:
        for seed in range(8):
            sim = cluster(2, 2, seed=seed)
            assert (await sim.reserve(on("b", "a"), "g")).node_ids == ("b", "a")

    run(main)


def test_a_pending_group_is_tried_at_ticks_and_sees_releases_late() -> None:
    async def main() -> None:
        for seed in range(20):
            sim = cluster(2, seed=seed)
            first = sim.gcs.ask([GPU, GPU], "PACK")
            await created(sim, first)
            second = sim.gcs.ask([GPU], "PACK")
            assert (second.state, second.reason) == ("PENDING", "NO_RESOURCES")
            await asyncio.sleep(10.0)
            freed = now()
            sim.gcs.withdraw(first)
            assert gpus_free(sim) == 0
            took = await created(sim, second) - freed
            assert 0.02 < took < 1.12
            assert gpus_free(sim) == 1

    run(main)


def test_a_group_made_right_after_a_removal_waits_for_a_tick_unless_all_is_back() -> None:
    async def main() -> None:
        sim = cluster(2)
        waited = []
        for patient in (False, True):
            old = sim.gcs.ask([GPU, GPU], "PACK")
            await created(sim, old)
            if patient:
                await sim.gcs.give_back(old)
            else:
                sim.gcs.withdraw(old)
            began = now()
            new = sim.gcs.ask([GPU, GPU], "PACK")
            waited.append(await created(sim, new) - began)
            assert new.tries == (1 if patient else 2)
            await sim.gcs.give_back(new)
        assert waited[0] > 0.02 > 0.002 > waited[1]

    run(main)


def test_what_is_removed_while_it_is_placed_leaks() -> None:
    async def main() -> None:
        sim = cluster(4)
        sim.gcs.withdraw(sim.gcs.ask([GPU], "PACK", "naive"))
        await asyncio.sleep(3600)
        assert (gpus_free(sim), [g.name for g in sim.gcs.leaked]) == (3, ["naive"])
        patient = sim.gcs.ask([GPU], "PACK")
        await asyncio.sleep(0.002)
        sim.gcs.withdraw(patient)
        await asyncio.sleep(1)
        assert gpus_free(sim) == 3

    run(main)


@pytest.mark.parametrize("moment", [n * 0.00025 for n in range(12)])
def test_our_own_reservation_never_leaks(moment: float) -> None:
    async def main() -> None:
        sim = cluster(4, 4)
        task = asyncio.ensure_future(sim.reserve(on("a", "b"), "ours"))
        await asyncio.sleep(moment)
        task.cancel()
        await asyncio.wait({task})
        # At once: what held something is only gone when all of it is back.
        assert (gpus_free(sim), sim.leftovers(), sim.gcs.leaked) == (8, [], [])

    run(main)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_group_that_lost_its_host_holds_up_all_others_unless_it_is_pinned(pinned: bool) -> None:
    async def main() -> None:
        sim = cluster(4, 4)
        selectors = [Bundle.of({NODE_ID: "a"}, GPU=1).labels] * 4 if pinned else ()
        victim = sim.gcs.ask([GPU] * 4, "STRICT_PACK", "victim", selectors)
        await created(sim, victim)
        [home] = set(victim.node_ids)
        other = next(n for n in "ab" if n != home)
        busy = sim.make_group([GPU], [other], name="busy")
        sim.kill_host(home)
        assert victim.state == "CREATED"  # nobody knows yet
        await asyncio.sleep(1)
        assert victim.state == "RESCHEDULING"
        small = sim.gcs.ask([Bundle.of(CPU=1)], "PACK", "small")
        await asyncio.sleep(8)
        if pinned:
            assert (victim.reason, small.state) == ("INFEASIBLE", "CREATED")
            return
        assert (small.state, small.reason, small.tries) == ("PENDING", "QUEUED", 0)
        with pytest.raises(TemporaryError, match="has not tried"):
            await sim.reserve(on(other), "ours")
        sim.gcs.withdraw(busy)
        await created(sim, victim)
        assert set(victim.node_ids) == {other}
        await created(sim, small)

    run(main)


def test_removing_the_group_that_holds_others_up_frees_them_at_once() -> None:
    async def main() -> None:
        sim = cluster(4, 4)
        victim = sim.gcs.ask([GPU] * 4, "STRICT_PACK", "victim")
        await created(sim, victim)
        home = victim.node_ids[0]
        sim.make_group([GPU], [next(n for n in "ab" if n != home)])
        sim.kill_host(home)
        await asyncio.sleep(1)
        small = sim.gcs.ask([Bundle.of(CPU=1)], "PACK")
        began = now()
        sim.gcs.withdraw(victim)
        assert await created(sim, small) - began < 0.01

    run(main)


def test_the_death_of_a_host_is_seen_late() -> None:
    async def main() -> None:
        sim = cluster(2, 2, death=5.0)
        placement = await sim.reserve(on("a"), "g")
        watching = asyncio.ensure_future(sim.lost(placement))
        began = now()
        sim.kill_host("a")
        assert [host.alive for host in sim.now().hosts] == [True, True]
        # Whoever believes it has to wait: the host does not answer.
        reserving = asyncio.ensure_future(sim.reserve(on("a"), "late"))
        assert "host a died" == await watching
        assert now() - began == pytest.approx(5.0)
        with pytest.raises(Displaced):
            await reserving
        assert sim.leftovers() == ["group g"]

    run(main)


def test_what_fits_nowhere_is_tried_again_when_a_host_joins_and_not_before() -> None:
    async def main() -> None:
        sim = cluster(2)
        big = sim.gcs.ask([GPU] * 4, "STRICT_PACK")
        assert (big.state, big.reason) == ("PENDING", "INFEASIBLE")
        await asyncio.sleep(100)
        assert big.tries == 1
        sim.add_host(sim_host("b", GPU=4))
        assert await created(sim, big) < 100.01

    run(main)


def test_a_name_is_taken_until_its_group_is_gone() -> None:
    async def main() -> None:
        sim = cluster(4)
        held = await sim.reserve(on("a"), "node")
        with pytest.raises(TemporaryError, match="node is there already"):
            await sim.reserve(on("a"), "node")
        assert sim.leftovers() == ["group node"]  # that of the first call stayed
        await sim.remove(held.name)
        await sim.reserve(on("a"), "node")

    run(main)


def test_a_group_that_waits_for_an_hour_costs_nothing() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        sim = cluster(1)
        sim.make_group([GPU], ["a"])
        group = sim.gcs.ask([GPU], "PACK")
        await asyncio.sleep(3600)
        assert (group.state, group.tries) == ("PENDING", 1)
        assert loop.rounds < 20

    run_virtual(main(), loop=loop)
    loop.close()


def test_a_hook_that_blocks_the_loop_meets_a_ray_that_went_on(tmp_path: Path) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        sim = cluster(2)
        ray = FakeRay(sim, tmp_path, loop)
        first = ray.placement_group([{"GPU": 2}])
        assert first.wait(5)
        assert now() < 0.01
        second = ray.placement_group([{"GPU": 2}], name="second")
        began = now()
        assert not second.wait(3.7)  # whole seconds
        assert now() - began == pytest.approx(3)
        assert not second.wait(0.9)
        assert now() - began < 3.01
        ray.remove_placement_group(first)
        assert second.wait(2)
        assert 3.02 < now() - began < 4.2
        assert ray.placement_group_table(second)["state"] == "CREATED"
        with pytest.raises(Exception, match="second is there already"):
            ray.placement_group([{"CPU": 1}], name="second")

    run_virtual(main(), loop=loop)
    loop.close()


def test_a_host_whose_death_nobody_can_know_of_yet_is_not_held_against_a_node() -> None:
    """It dies while the last look is taken at the cluster, and Ray sees that a moment later."""
    for call in range(4):
        faults = (SimFault("snapshot", "kill", call, "a"),)
        report = check_callback(Adopts, scenarios=[Scenario((2,), faults=faults)], on_fail="return")
        assert report.ok, report.text()


def test_a_remote_function_waits_for_the_host_of_its_bundle(tmp_path: Path) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        sim = cluster(2, 2)
        ray = FakeRay(sim, tmp_path, loop)
        group = ray.placement_group([{"GPU": 2}])
        await group.ready()
        home = group.asked.node_ids[0]
        other = next(node_id for node_id in "ab" if node_id != home)
        busy = sim.make_group([GPU], [other])
        sim.kill_host(home)
        await asyncio.sleep(1)
        strategy = SimpleNamespace(placement_group=group, placement_group_bundle_index=0)
        function = ray.remote(lambda: group.asked.node_ids[0])
        task = function.options(scheduling_strategy=strategy).remote()
        await asyncio.sleep(60)
        assert not task.done()
        sim.gcs.withdraw(busy)
        assert await task == other

        ray.remove_placement_group(group)
        with pytest.raises(TaskPlacementGroupRemoved):
            await function.options(scheduling_strategy=strategy).remote()

    run_virtual(main(), loop=loop)
    loop.close()
