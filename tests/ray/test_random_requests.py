"""Random requests on a real Ray, one after the other, on a cluster that others use too.

What is planned lands exactly as planned; what is not, a solver says does not fit. A share of the
requests Ray may try by itself first, and has to do what the model of its policy says. 25 requests;
`NODEINIT_RUNS` sets how many.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from ray.util import placement_group

from nodeinit.placement.planner import plan
from nodeinit.placement.ray_policy import RayPolicy, Verdict
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import Bundle, ClusterSnapshot, PlacementPlan
from nodeinit.ray import RayCluster, group_rows
from tests.placement.exact import feasible
from tests.ray.arrivals import arrival
from tests.ray.conftest import run
from tests.ray.ledger import Ledger
from tests.ray.raw import give_back

RUNS = int(os.environ.get("NODEINIT_RUNS", "25"))
ALONE = 0.5  # the share of requests that Ray tries by itself first
WAYS = 3_000  # to resolve ties that are looked at before a verdict of Ray's counts as wrong


@pytest.fixture
def mixed(shared: RayCluster) -> Iterator[RayCluster]:
    """Besides three hosts of no particular kind, four of two kinds in two zones, and the head."""
    assert shared.hosts is not None
    add = shared.hosts.add_hosts
    add(3 - len(shared.hosts.node_ids))
    added = [
        *add(
            2, gpus=8, cpus=32, labels={"zone": "a"}, accelerator_type="H100", resources={"disk": 3}
        ),
        *add(1, gpus=8, cpus=16, labels={"zone": "b"}, accelerator_type="A100"),
        *add(1, gpus=4, cpus=16, labels={"zone": "b", "rack": "x"}, accelerator_type="A100"),
    ]
    yield shared
    for node_id in added:
        shared.hosts.remove_host(node_id)


class Traffic:
    """Requests as they come, and a count of how they ended."""

    def __init__(self, cluster: RayCluster, ledger: Ledger, rng: random.Random) -> None:
        self.cluster, self.ledger, self.rng = cluster, ledger, rng
        self.count: Counter[str] = Counter()
        self._number = itertools.count()

    async def serve(self, request: PlacementRequest) -> None:
        """Let Ray try it, perhaps; plan it; reserve it; give it back, perhaps."""
        snapshot = self.ledger.on(await self.at_rest())
        answer = plan(request, snapshot)
        self.count["requests"] += 1
        verdict = None
        if self.rng.random() < ALONE:
            verdict = await self._let_ray_try(request, snapshot)
        if isinstance(answer, PlacementPlan):
            self.count["planned"] += 1
            self.count["pending in Ray, rescued by pins"] += verdict is Verdict.NO_RESOURCES
            await self._reserve(request, answer)
        elif answer.proven:
            assert not feasible(request, snapshot), request
            self.count["refused, and so says the solver"] += 1
        else:
            self.count["refused without proof"] += 1

    async def depart(self, name: str) -> None:
        """A group ends."""
        await self.cluster.remove(name)
        self.ledger.give_back(name)

    async def at_rest(self) -> ClusterSnapshot:
        """What Ray says, when it says the same as the ledger.

        What is given back comes a bit later, and what a host refused without a word counts as taken
        until that host has something to report. A byte that is taken and given back is something.
        """
        for wait in range(100):
            snapshot = await self.cluster.snapshot()
            if not (wrong := self.ledger.differs(snapshot)):
                return snapshot
            await asyncio.sleep(0.05)
            if wait == 10:
                await self._stir(tuple(wrong))
        raise AssertionError(f"(the ledger's, Ray's): {wrong}")

    async def _stir(self, node_ids: tuple[str, ...]) -> None:
        byte = PlacementPlan((Bundle.of(memory=1),) * len(node_ids), node_ids)
        await self.cluster.reserve(byte, "a byte")
        await self.cluster.remove("a byte")
        self.count["hosts of which Ray believed less than is free"] += len(node_ids)

    async def _reserve(self, request: PlacementRequest, answer: PlacementPlan) -> None:
        name = f"llm-{next(self._number)}"
        placement = await self.cluster.reserve(answer, name)
        assert placement.node_ids == answer.node_ids
        after = await self.cluster.snapshot()
        assert violations(request, placement, after, answer) == ()
        self.ledger.take(name, request.bundles, answer.node_ids)
        self.count["landed as planned"] += 1
        if self.rng.random() < 0.3:
            await self.depart(name)

    async def _let_ray_try(self, request: PlacementRequest, snapshot: ClusterSnapshot) -> Verdict:
        """Ray chooses the hosts itself, as the model said it would, and gives them back."""
        policy = RayPolicy(request.bundles, request.strategy, snapshot)
        name = f"alone-{next(self._number)}"
        group = placement_group(
            [bundle.units() for bundle in request.bundles],
            strategy=request.strategy,
            name=name,
            bundle_label_selector=[dict(bundle.labels) for bundle in request.bundles],
        )
        row = await _first_try(group.id.hex())
        await give_back(self.cluster, group)
        await self.at_rest()
        assert tuple(bundle.resources for bundle in row.bundles) == tuple(
            bundle.resources for bundle in request.bundles
        )
        verdict = Verdict(Verdict.CREATED if row.state == group_rows.CREATED else row.reason)
        self.count[f"tried by Ray alone: {verdict}"] += 1
        possible = itertools.islice(policy.outcomes(), WAYS)
        assert any(outcome.verdict is verdict for outcome in possible), request
        if verdict is Verdict.CREATED:
            assert policy.reaches([node_id or "" for node_id in row.node_ids]), request
        self.count["predicted by the model"] += 1
        return verdict


async def _first_try(group_id: str) -> group_rows.Row:
    """A group when Ray has tried to place it once."""
    for _ in range(3_000):
        row = group_rows.read(group_id)
        assert row is not None
        if row.state == group_rows.CREATED or row.reason in list(Verdict):
            return row
        await asyncio.sleep(0.005)
    raise AssertionError(row)


@pytest.mark.timeout(120 + 5 * RUNS)
def test_what_is_planned_lands_and_what_is_refused_does_not_fit(mixed: RayCluster) -> None:
    rng = random.Random(0)

    async def main() -> Counter[str]:
        ledger = Ledger(await mixed.snapshot())
        traffic = Traffic(mixed, ledger, rng)
        for _ in range(RUNS):
            while ledger.load > 0.9 or (ledger.names and rng.random() < 0.3):
                await traffic.depart(rng.choice(ledger.names))
            await traffic.serve(arrival(rng))
        for name in ledger.names:
            await traffic.depart(name)
        assert (await traffic.at_rest()).groups == ()
        return traffic.count

    count = run(main)
    print("", *(f"{number:6} {what}" for what, number in sorted(count.items())), sep="\n")
    assert count["planned"] == count["landed as planned"] > 0
    assert count["refused, and so says the solver"] > 0
    assert count["predicted by the model"] > 0
