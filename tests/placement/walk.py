"""A cluster that lives: requests are planned and reserved, groups go, hosts die, join and return.

The truth is kept GPU by GPU, as a Ray host serves its bundles; the planner sees what Ray would show
of it, made known by the ledger, or handed on from snapshot to snapshot.
"""

from __future__ import annotations

import random
from collections import Counter

import attrs

from nodeinit.placement.ledger import Ledger
from nodeinit.placement.occupancy import occupied
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.topology import (
    UNIT,
    ClusterSnapshot,
    Group,
    Host,
    PlacedBundle,
    Placement,
    PlacementPlan,
)
from tests.strategies import host

KINDS = ("H100", "A100")


def random_host(name: str, rng: random.Random) -> Host:
    made = host(
        name,
        rng.choice([0, 1, 2, 4, 8, 8, 8]),
        cpu=rng.choice([4, 8, 16, 64]),
        kind=rng.choice(KINDS),
        memory=rng.choice([16, 64]),
    )
    labels = {"zone": rng.choice("ab"), "rack": rng.choice("xyz")}
    if rng.random() < 0.2:
        del labels["rack"]
    return attrs.evolve(made, labels=labels)


def random_request(rng: random.Random) -> PlacementRequest:
    gpu = rng.choice([1, 1, 1, 1, 0.5, 0.6, 0.3334, 0.25, 0])
    tp = rng.choice([1, 1, 2, 2, 4, 8]) if gpu == 1 else 1
    strategy = rng.choice(["PACK"] * 5 + ["SPREAD", "STRICT_PACK", "STRICT_SPREAD"])
    span = tp > 1 and strategy != "STRICT_PACK" and rng.random() < 0.2
    if strategy == "STRICT_SPREAD" and not span:
        tp = 1
    kind = rng.choice(KINDS) if gpu and rng.random() < 0.2 else None
    hint = {f"accelerator_type:{kind}": 0.001} if kind else {}
    return PlacementRequest.of(
        tp,
        rng.choice([1, 1, 1, 2, 3]),
        gpu=gpu,
        cpu=rng.choice([0, 0, 1, 2]) if gpu else rng.choice([1, 2]),
        memory=rng.choice([0, 0, 4]),
        resources=hint,
        engine=rng.choice([None, None, {"CPU": 1}, {"CPU": 3}]),
        labels=rng.choice([None, None, None, {"zone": "a"}, {"zone": "!b"}, {"rack": "in(x,y)"}]),
        strategy=strategy,
        accelerator_type=kind,
        data_parallel_size=rng.choice([1, 1, 1, 1, 2]),
        span_tp=span,
        topology=rng.choice([None, None, None, None, "rack"]),
    )


class Walk:
    """One life of a cluster, from a seed. `step` checks what it plans."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.hosts = {
            f"h{i}": random_host(f"h{i}", self.rng) for i in range(self.rng.randint(1, 7))
        }
        self.dead: set[str] = set()
        self.single = {name: self._gpus(made) for name, made in self.hosts.items()}
        self.plans: dict[str, tuple[PlacementPlan, list[int | None]]] = {}
        self.ledger = Ledger()
        self.seen = self._look()
        self.counts: Counter[str] = Counter()

    def _gpus(self, made: Host) -> list[int]:
        return [UNIT] * (int(made.total.get("GPU", 0)) // UNIT)

    def step(self) -> None:
        """Something happens, and whatever is planned is held to every rule and to the truth."""
        what = self.rng.random()
        if what < 0.62 or not self.plans:
            self._arrive()
        elif what < 0.94:
            self._leave(self.rng.choice(sorted(self.plans)))
        else:
            self._happen()
        self.seen = self._look()
        assert not self.seen.uncertain

    def _arrive(self) -> None:
        request = random_request(self.rng)
        found = find(request, self.seen)
        assert found == find(request, ClusterSnapshot(self.seen.hosts, self.seen.groups))
        if found.plan is None:
            self.counts["refused"] += 1
            return
        self.counts["planned"] += 1
        broken = violations(request, found.plan, self.seen)
        assert broken == (), (request, found.plan, broken)
        name = f"g{self.counts['planned']}"
        self._reserve(name, found.plan)
        after = self._look()
        assert violations(request, self._placed(name, found.plan), after, found.plan) == ()
        # What is foreseen of the reservation is what comes.
        foreseen = occupied(self.seen, name, found.plan)
        for was, now in zip(foreseen.hosts, after.hosts, strict=True):
            assert was.available == now.available

    def _reserve(self, name: str, plan: PlacementPlan) -> None:
        """As the hosts do it: bundle by bundle, whole GPUs from free ones, slices where they fit."""
        at: list[int | None] = []
        for bundle, node_id in zip(plan.bundles, plan.node_ids, strict=True):
            single = self.single[node_id]
            fitting = [i for i, left in enumerate(single) if left >= bundle.gpu > 0]
            assert fitting or not bundle.gpu, f"{name}: no GPU of {node_id} can serve the plan"
            place = min(fitting, key=lambda i: (single[i], i)) if fitting else None
            if place is not None:
                single[place] -= bundle.gpu
            at.append(place)
        self.plans[name] = (plan, at)

    def _leave(self, name: str) -> None:
        plan, at = self.plans.pop(name)
        for bundle, node_id, place in zip(plan.bundles, plan.node_ids, at, strict=True):
            if place is not None:
                self.single[node_id][place] += bundle.gpu

    def _happen(self) -> None:
        """A host dies with all that is on it, comes back empty, or joins."""
        name = self.rng.choice(sorted(self.hosts))
        if name in self.dead:
            self.dead.remove(name)
        elif self.rng.random() < 0.5 and len(self.hosts) < 9:
            name = f"j{self.counts['joined']}"
            self.counts["joined"] += 1
            self.hosts[name] = random_host(name, self.rng)
            self.single[name] = self._gpus(self.hosts[name])
        else:
            for group in [g for g, (plan, _) in self.plans.items() if name in plan.node_ids]:
                self._leave(group)
            self.dead.add(name)

    def _look(self) -> ClusterSnapshot:
        """What Ray shows: sums. The ledger makes single GPUs of them."""
        free = {name: dict(made.total) for name, made in self.hosts.items()}
        groups = []
        for name, (plan, _) in self.plans.items():
            for bundle, node_id in zip(plan.bundles, plan.node_ids, strict=True):
                for resource, value in bundle.resources.items():
                    free[node_id][resource] -= value
            groups.append(Group(name, name, "CREATED", plan.bundles, plan.strategy, plan.node_ids))
        hosts = [
            attrs.evolve(made, available=free[name], alive=name not in self.dead)
            for name, made in self.hosts.items()
        ]
        before = getattr(self, "seen", None)
        look = ClusterSnapshot(tuple(hosts), tuple(groups))
        self.ledger, known = self.ledger.follow(look)
        return known if before is None else before.now(known.hosts, known.groups)

    def _placed(self, name: str, plan: PlacementPlan) -> Placement:
        bundles = tuple(
            PlacedBundle(i, node_id, bundle.units())
            for i, (bundle, node_id) in enumerate(zip(plan.bundles, plan.node_ids, strict=True))
        )
        return Placement(name, name, plan.strategy, "CREATED", bundles)
