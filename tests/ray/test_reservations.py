from __future__ import annotations

import asyncio
import itertools
import random
import time

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from nodeinit.clusters.base import Displaced
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.placement.labels import NODE_ID
from nodeinit.placement.planner import plan as make_plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, Placement, PlacementPlan
from nodeinit.ray import RayCluster, group_rows, reservations, watching
from nodeinit.testing.virtual_time import run_virtual
from tests.ray.conftest import GPUS, on_hosts, run, standing


def tries_of(name: str) -> int:
    """How often Ray began to place a group."""
    return sum(row.tries for row in group_rows.LiveRows().read() if row.name == name)


def hosts_of(cluster: RayCluster) -> tuple[str, ...]:
    assert cluster.hosts is not None
    return cluster.hosts.node_ids


LAYOUTS = [
    ("PACK", (0,) * 4 + (2,) * 4),
    ("PACK", (1, 0, 1, 2, 0)),
    ("SPREAD", (0, 1, 2, 0)),
    ("SPREAD", (1,) * 8),
    ("STRICT_PACK", (2,) * 8),
    ("STRICT_SPREAD", (2, 0, 1)),
]


@pytest.mark.parametrize(("strategy", "layout"), LAYOUTS)
def test_bundles_land_exactly_where_they_were_planned(
    cluster: RayCluster, strategy: str, layout: tuple[int, ...]
) -> None:
    hosts = hosts_of(cluster)
    plan = on_hosts(*(hosts[i] for i in layout), strategy=strategy)

    async def main() -> None:
        placement = await cluster.reserve(plan, "llm")
        assert placement.node_ids == plan.node_ids
        assert (placement.state, placement.strategy) == ("CREATED", strategy)
        assert (placement.name, placement.adopted) == ("llm", False)
        assert [dict(bundle.resources) for bundle in placement.bundles] == [{"GPU": 1}] * len(
            layout
        )
        assert await standing(cluster) == (["llm"], 3 * GPUS - len(layout))
        await cluster.remove("llm")
        assert await standing(cluster) == ([], 3 * GPUS)

    run(main)


def test_what_the_planner_plans_is_what_ray_makes(cluster: RayCluster) -> None:
    async def main() -> None:
        held = 0
        for number in range(3):  # together they take every GPU
            request = PlacementRequest.of(4, 2)
            plan = make_plan(request, await cluster.snapshot())
            assert isinstance(plan, PlacementPlan)
            placement = await cluster.reserve(plan, f"llm-{number}")
            assert placement.node_ids == plan.node_ids
            held += 8
            assert (await standing(cluster))[1] == 3 * GPUS - held
        for number in range(3):
            await cluster.remove(f"llm-{number}")

    run(main)


def test_every_amount_is_reserved_to_the_last_step(cluster: RayCluster) -> None:
    # In units: 0.5699 and 0.57 are one step apart, and Ray truncates what it is given.
    host = hosts_of(cluster)[0]

    async def main() -> None:
        before = (await cluster.snapshot()).host(host)
        bundle = Bundle({"CPU": 5_700, "GPU": 3_333})
        placement = await cluster.reserve(PlacementPlan((bundle,), (host,)), "llm")
        assert dict(placement.bundles[0].resources) == {"CPU": 0.57, "GPU": 0.3333}
        after = (await cluster.snapshot()).host(host)
        assert before is not None and after is not None
        assert before.free("CPU") - after.free("CPU") == 5_700
        assert before.free("GPU") - after.free("GPU") == 3_333
        await cluster.remove("llm")

    run(main)


def test_a_selector_of_a_bundle_goes_along_with_its_pin(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[0]

    async def main() -> None:
        impossible = Bundle.of({"zone": "nowhere"}, GPU=1)
        with pytest.raises(Displaced):
            await cluster.reserve(PlacementPlan((impossible,), (host,)), "llm")
        assert await standing(cluster) == ([], 3 * GPUS)

    run(main)


def test_stolen_capacity_displaces_and_leaves_nothing(cluster: RayCluster) -> None:
    first, second, _ = hosts_of(cluster)

    async def main() -> None:
        await cluster.reserve(on_hosts(*[first] * 3), "thief")
        with pytest.raises(Displaced, match=r"host host-\d+ has 5 GPU free of 6 needed"):
            await cluster.reserve(on_hosts(*[second] * 2, *[first] * 6), "llm")
        assert await standing(cluster) == (["thief"], 3 * GPUS - 3)
        await cluster.remove("thief")

    run(main)


def test_a_refusal_leaves_no_belief_that_something_is_taken(cluster: RayCluster) -> None:
    """Of three GPUs 0.4 is left each: 0.6 fits the sum and no GPU, and Ray must not forget that."""
    host = hosts_of(cluster)[0]

    async def main() -> None:
        await cluster.reserve(on_hosts(*[host] * 3, GPU=0.6), "slices")
        await cluster.reserve(on_hosts(*[host] * (GPUS - 3)), "whole")
        with pytest.raises(Displaced):
            await cluster.reserve(on_hosts(host, GPU=0.6), "llm")
        for _ in range(100):
            seen = (await cluster.snapshot()).host(host)
            assert seen is not None
            if seen.free("GPU") == 12_000:
                break
            await asyncio.sleep(0.05)
        assert seen.free("GPU") == 12_000
        await cluster.reserve(on_hosts(*[host] * 3, GPU=0.4), "crumbs")
        for name in ("slices", "whole", "crumbs"):
            await cluster.remove(name)

    run(main)


def test_a_plan_for_a_host_that_is_gone_is_displaced_at_once(cluster: RayCluster) -> None:
    async def main() -> None:
        with pytest.raises(Displaced, match="dead"):
            await cluster.reserve(on_hosts("ab" * 28), "llm")

    run(main)


def test_capacity_that_comes_back_while_ray_waits_is_used(cluster: RayCluster) -> None:
    """A removal that is still on its way is not taken for a loss of capacity."""
    host = hosts_of(cluster)[0]

    async def main() -> None:
        await cluster.reserve(on_hosts(*[host] * GPUS), "old")
        removing = asyncio.ensure_future(cluster.remove("old"))
        await asyncio.sleep(0.01)
        placement = await cluster.reserve(on_hosts(*[host] * GPUS), "new")
        assert placement.state == "CREATED"
        await removing
        await cluster.remove("new")

    run(main)


def test_a_cancel_at_any_moment_leaves_no_group_and_no_gpu_behind(cluster: RayCluster) -> None:
    first, second, third = hosts_of(cluster)
    whole = on_hosts(*[first] * GPUS, *[second] * GPUS, *[third] * GPUS)
    rng = random.Random(7)

    async def main() -> int:
        placed = 0
        for number in range(40):
            task = asyncio.ensure_future(cluster.reserve(whole, f"llm-{number}"))
            await asyncio.sleep(rng.choice([0, 0.0005, 0.002, rng.uniform(0, 0.03)]))
            task.cancel()
            try:
                await task
                placed += 1
                await cluster.remove(f"llm-{number}")
            except asyncio.CancelledError:
                pass
            assert await standing(cluster) == ([], 3 * GPUS)
        # Ray's books say so; its hosts agree.
        await cluster.reserve(whole, "llm")
        await cluster.remove("llm")
        return placed

    assert run(main) < 40


def test_a_cancel_while_ray_refuses_leaves_nothing(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[0]

    async def main() -> None:
        # 3 x 0.6 is less than 2 GPUs, but fits no two of them: Ray tries for ever.
        await cluster.reserve(on_hosts(*[host] * (GPUS - 2)), "others")
        task = asyncio.ensure_future(cluster.reserve(on_hosts(*[host] * 3, GPU=0.6), "llm"))
        while not tries_of("llm"):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, Displaced)):
            await task
        assert await standing(cluster) == (["others"], 2 * GPUS + 2)
        await cluster.remove("others")

    run(main)


def test_a_cancel_leaves_no_belief_that_something_is_taken(cluster: RayCluster) -> None:
    """As after a refusal: a host that refused its first bundle has nothing to report by itself."""
    host = hosts_of(cluster)[0]

    async def main() -> None:
        await cluster.reserve(on_hosts(*[host] * 3, GPU=0.6), "slices")
        await cluster.reserve(on_hosts(*[host] * (GPUS - 3)), "whole")
        task = asyncio.ensure_future(cluster.reserve(on_hosts(host, GPU=0.6), "llm"))
        while not tries_of("llm"):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # that try is over, and was refused
        task.cancel()
        with pytest.raises((asyncio.CancelledError, Displaced)):
            await task
        for _ in range(100):
            seen = (await cluster.snapshot()).host(host)
            assert seen is not None
            if seen.free("GPU") == 12_000:
                break
            await asyncio.sleep(0.05)
        assert seen.free("GPU") == 12_000
        await cluster.remove("slices")
        await cluster.remove("whole")

    run(main)


def test_two_groups_of_one_name_are_never_mixed_up(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[0]

    async def main() -> None:
        await cluster.reserve(on_hosts(host), "llm")
        with pytest.raises(TemporaryError, match="llm"):
            await RayCluster().reserve(on_hosts(host), "llm")
        assert await standing(cluster) == (["llm"], 3 * GPUS - 1)
        await cluster.remove("llm")

    run(main)


def test_a_removal_knows_groups_by_their_name_alone_and_may_be_repeated(
    cluster: RayCluster,
) -> None:
    async def main() -> None:
        await cluster.reserve(on_hosts(hosts_of(cluster)[0]), "llm")
        other = RayCluster()  # as after a crash: nothing is remembered
        await other.remove("llm")
        assert await standing(cluster) == ([], 3 * GPUS)
        await other.remove("llm")
        await cluster.remove("llm")
        await cluster.remove("never was there")

    run(main)


def test_what_is_removed_can_be_had_again_at_once(cluster: RayCluster) -> None:
    """Ray makes a group that comes too early wait for its next tick, a second later."""
    plan = on_hosts(*hosts_of(cluster) * GPUS)

    async def main() -> list[float]:
        took = []
        for number in range(10):
            began = time.perf_counter()
            await cluster.reserve(plan, f"llm-{number}")
            took.append(time.perf_counter() - began)
            await cluster.remove(f"llm-{number}")
        return took

    took = sorted(run(main))
    print(f"\nreserve of {3 * GPUS} bundles, ms: {[round(1e3 * t, 1) for t in took]}")


def test_an_adopted_group_is_observed_and_left_alone(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[1]
    group = placement_group([{"GPU": 2}, {"CPU": 1}], bundle_label_selector=[{NODE_ID: host}] * 2)

    async def main() -> None:
        placement = await cluster.observe(group)
        assert placement.adopted
        assert placement.group_id == group.id.hex()
        assert placement.node_ids == (host, host)
        assert [dict(b.resources) for b in placement.bundles] == [{"GPU": 2}, {"CPU": 1}]
        assert (await standing(cluster))[1] == 3 * GPUS - 2

    run(main)
    remove_placement_group(group)
    with pytest.raises(PermanentError, match="was removed"):
        run(lambda: cluster.observe(group))


def test_an_adopted_group_may_take_its_time(cluster: RayCluster) -> None:
    host = hosts_of(cluster)[1]

    async def main() -> None:
        await cluster.reserve(on_hosts(*[host] * GPUS), "others")
        group = placement_group([{"GPU": 1}], bundle_label_selector=[{NODE_ID: host}])
        observing = asyncio.ensure_future(cluster.observe(group))
        await asyncio.sleep(0.2)
        assert not observing.done()
        await cluster.remove("others")
        assert (await observing).node_ids == (host,)
        remove_placement_group(group)

    run(main)


@pytest.mark.parametrize("handle", [None, "pg", object(), ray.PlacementGroupID.nil()])
def test_what_is_no_group_is_refused(cluster: RayCluster, handle: object) -> None:
    with pytest.raises(PermanentError, match="not a placement group"):
        run(lambda: cluster.observe(handle))


def test_a_group_that_ray_does_not_know_is_refused(cluster: RayCluster) -> None:
    ids = itertools.count()
    handle = type("Handle", (), {"id": f"{next(ids):036x}"})()
    with pytest.raises(PermanentError, match="never was on this cluster"):
        run(lambda: cluster.observe(handle))


def test_a_lost_host_is_told(cluster: RayCluster) -> None:
    first, second, _ = hosts_of(cluster)

    async def main() -> str:
        placement = await cluster.reserve(on_hosts(first, second), "llm")
        losing = asyncio.ensure_future(cluster.lost(placement))
        await asyncio.sleep(0.6)
        assert not losing.done()
        await asyncio.to_thread(cluster.hosts.kill_host, second)  # type: ignore[union-attr]
        why = await losing
        await cluster.remove("llm")
        return why

    why = run(main)
    assert why.startswith("host host-") and why.endswith("died")


def test_a_group_that_somebody_removes_is_told(cluster: RayCluster) -> None:
    async def main() -> str:
        placement = await cluster.reserve(on_hosts(hosts_of(cluster)[0]), "llm")
        losing = asyncio.ensure_future(cluster.lost(placement))
        await RayCluster().remove("llm")
        return await losing

    assert "llm was removed by somebody else" in run(main)


def test_shares_of_single_gpus_that_do_not_fit_are_given_up(
    cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would try for ever: 3 x 0.6 is less than 2 GPUs, but fits no two of them."""
    host = hosts_of(cluster)[0]
    monkeypatch.setattr(reservations, "_PATIENCE", 1.0)

    async def main() -> None:
        await cluster.reserve(on_hosts(*[host] * (GPUS - 2)), "others")
        with pytest.raises(Displaced, match="scattered"):
            await cluster.reserve(on_hosts(*[host] * 3, GPU=0.6), "llm")
        await cluster.remove("others")

    run(main)


def test_what_keeps_ray_from_even_trying_is_named(
    cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that lost its host and finds no other is tried without a pause, before all others."""
    first, second, third = hosts_of(cluster)
    monkeypatch.setattr(reservations, "_PATIENCE", 1.0)
    # Not pinned, unlike ours: any host would do for Ray, but none has room.
    victim = placement_group([{"GPU": GPUS}], name="victim")

    async def main() -> None:
        home = (await cluster.observe(victim)).node_ids[0]
        others = [host for host in (first, second, third) if host != home]
        for index, host in enumerate(others):
            await cluster.reserve(on_hosts(*[host] * (GPUS - 1)), f"others-{index}")
        await asyncio.to_thread(cluster.hosts.kill_host, home)  # type: ignore[union-attr]
        while group_rows.read(victim.id.hex()).state != group_rows.RESCHEDULING:  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
        with pytest.raises(TemporaryError, match="lost a host: victim"):
            await cluster.reserve(on_hosts(others[0]), "llm")
        remove_placement_group(victim)
        for index in range(2):
            await cluster.remove(f"others-{index}")

    run(main)


def test_a_ray_that_is_silent_for_a_moment_is_no_loss_and_for_long_is_one() -> None:
    placement = Placement("a" * 36, "llm", "PACK", "CREATED", ())

    async def silent(answers: list[str | None]) -> tuple[str, float]:
        async def call(*_: object) -> str | None:
            if not answers:
                raise TemporaryError("Ray: timed out")
            answer = answers.pop()
            if answer == "?":
                raise TemporaryError("Ray: timed out")
            return answer

        why = await watching.lost(call, placement)
        return why, asyncio.get_running_loop().time()

    assert run_virtual(silent(["host x died", None, "?", "?", None, "?"]))[0] == "host x died"
    why, when = run_virtual(silent([None]))
    assert "no answer for 3" in why and "timed out" in why
    assert 30 < when < 32
