"""What a plan and an explanation cost: beside a small cluster, and beside Ray. `pytest -m bench -s`."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator

import pytest
from ray.util import placement_group

from nodeinit.placement.batch import occupied
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan
from nodeinit.ray import RayCluster
from tests.bench.large_cluster import cluster
from tests.bench.timing import microseconds
from tests.ray.raw import give_back

pytestmark = pytest.mark.bench

SMALL, LARGE = 10, 10_000

REQUESTS = {
    "TP4": PlacementRequest.of(4, engine={"CPU": 1}),
    "TP8xPP4, 32 bundles": PlacementRequest.of(8, 4, engine={"CPU": 1}),
    "TP1, 0.5 GPU, 4 CPU": PlacementRequest.of(1, gpu=0.5, cpu=4),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_plan_on_a_thousand_times_as_many_hosts(name: str) -> None:
    """Target: at most 3 times as long on 10 000 hosts as on 10, once the snapshot is built."""
    request = REQUESTS[name]
    snapshots = {f"{hosts} hosts": cluster(hosts) for hosts in (SMALL, LARGE)}
    small, large = snapshots

    plans = {size: planning(request, snapshot) for size, snapshot in snapshots.items()}
    measured = microseconds(plans, rounds=20)
    steps = microseconds(
        {size: step(request, snapshot) for size, snapshot in snapshots.items()}, rounds=20
    )
    print(f"\n{name}")
    for what, times in (("plan", measured), ("plan, occupy, plan again", steps)):
        ratio = times[large] / times[small]
        print(
            f"  {what:26} {times[small]:10.0f} us on {small}  {times[large]:10.0f} us on {large}"
            f"  {ratio:8.1f} x (target {'3' if times is measured else 'none'})"
        )
    assert measured[large] <= 3 * measured[small]


def planning(request: PlacementRequest, snapshot: ClusterSnapshot) -> Callable[[], None]:
    def run() -> None:
        assert isinstance(plan(request, snapshot), PlacementPlan)

    return run


def step(request: PlacementRequest, snapshot: ClusterSnapshot) -> Callable[[], None]:
    """Two plans, the second on what the first one leaves: nothing can be kept but what is alike."""
    first = PlacementRequest.of(1)

    def run() -> None:
        found = plan(first, snapshot)
        assert isinstance(found, PlacementPlan)
        assert isinstance(plan(request, occupied(snapshot, "first", found)), PlacementPlan)

    return run


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[RayCluster]:
    """A Ray on which every request fits once."""
    started = RayCluster.simulated(hosts=4, gpus_per_host=8, cpus_per_host=16)
    yield started
    asyncio.run(started.close())


@pytest.fixture(scope="module")
def ray_takes(ray_cluster: RayCluster) -> dict[str, float]:
    """Microseconds, in the median, from asking Ray for each group until it is created."""
    return {name: creating(ray_cluster, request) for name, request in REQUESTS.items()}


def creating(ray_cluster: RayCluster, request: PlacementRequest, rounds: int = 15) -> float:
    bundles = [bundle.units() for bundle in request.bundles]
    times: list[float] = []
    for number in range(rounds):
        name = f"timed-{number}"
        began = time.perf_counter_ns()
        group = placement_group(bundles, strategy=request.strategy, name=name)
        assert group.wait(30)
        times.append((time.perf_counter_ns() - began) / 1_000)
        # Ends when its resources are back: a group that is created before waits for a second.
        asyncio.run(give_back(ray_cluster, group))
    return statistics.median(times)


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_plan_and_its_verification_beside_ray(
    ray_cluster: RayCluster, ray_takes: dict[str, float], name: str
) -> None:
    """Target: less than Ray itself takes to create the group, on Ray's four hosts and on 10 000."""
    request = REQUESTS[name]
    own = asyncio.run(ray_cluster.snapshot())
    measured = microseconds(
        {
            "on Ray's hosts": verified(request, own),
            f"on {LARGE} hosts": verified(request, cluster(LARGE)),
        },
        rounds=20,
    )
    beside_ray(f"{name}: plan and verify", measured, ray_takes[name])


def verified(request: PlacementRequest, snapshot: ClusterSnapshot) -> Callable[[], None]:
    def run() -> None:
        found = plan(request, snapshot)
        assert isinstance(found, PlacementPlan)
        assert violations(request, found, snapshot) == ()

    return run


HOPELESS = {
    "no host has 8 GPUs free": PlacementRequest.of(8),
    "nor for any of 4 stages": PlacementRequest.of(8, 4),
    "a label that no host has": PlacementRequest.of(4, labels={"zone": "d"}),
    "an accelerator that no host has": PlacementRequest.of(4, accelerator_type="A100"),
    "more CPU than any host has": PlacementRequest.of(1, cpu=500),
}


@pytest.mark.ray
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HOPELESS)
def test_an_explanation_beside_ray(ray_takes: dict[str, float], name: str) -> None:
    """Target: less than Ray takes to create the group, on as many hosts in use as Ray has.

    On 10 000 hosts with as many groups, names of hosts and groups are what it costs: no target.
    """
    request = HOPELESS[name]
    few, many = cluster(4, most_free=7), cluster(LARGE, most_free=7)
    beside = ray_takes["TP8xPP4, 32 bundles" if len(request.bundles) > 8 else "TP4"]
    beside_ray(f"why: {name}", microseconds({"on 4 hosts": why(request, few)}, rounds=20), beside)
    large = microseconds({f"on {LARGE} hosts": why(request, many)}, rounds=3)
    print(f"  {'on 10 000 hosts':26} {next(iter(large.values())):10.0f} us")


def why(request: PlacementRequest, snapshot: ClusterSnapshot) -> Callable[[], None]:
    def run() -> None:
        assert isinstance(plan(request, snapshot), Infeasible)

    return run


def beside_ray(title: str, measured: dict[str, float], ray_takes: float) -> None:
    print(f"\n{title}\n  {'Ray creates the group':26} {ray_takes:10.0f} us")
    for where, time_taken in measured.items():
        ratio = time_taken / ray_takes
        print(f"  {where:26} {time_taken:10.0f} us  {ratio:8.2f} x Ray (target 1)")
    assert all(time_taken < ray_takes for time_taken in measured.values())
