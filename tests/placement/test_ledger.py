"""Following who comes and goes: what the ledger says about single GPUs is what is true."""

from __future__ import annotations

import random

import attrs
import pytest

from nodeinit.placement.ledger import Ledger
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Group
from tests.strategies import host

SHARES = (UNIT, UNIT, 5_000, 6_000, 3_333, 3_000, 9_000)


class Truth:
    """Hosts as Ray runs them, GPU by GPU, with groups and with others who have no group."""

    def __init__(self, names: str, gpus: int) -> None:
        self.free = {name: [UNIT] * gpus for name in names}
        self.groups: dict[str, tuple[str, list[tuple[int, int]]]] = {}
        self.others: dict[str, tuple[str, list[tuple[int, int]]]] = {}
        self._count = 0

    def take(self, name: str, shares: list[int], *, group: bool = True) -> None:
        free, places = [*self.free[name]], []
        for share in shares:
            fitting = [i for i, left in enumerate(free) if left >= share]
            if not fitting:
                return
            at = min(fitting, key=lambda i: (free[i], i))
            free[at] -= share
            places.append((at, share))
        self.free[name] = free
        self._count += 1
        (self.groups if group else self.others)[f"g{self._count}"] = (name, places)

    def give_back(self, rng: random.Random, *, group: bool = True) -> None:
        held = self.groups if group else self.others
        if held:
            name, places = held.pop(rng.choice(sorted(held)))
            for at, share in places:
                self.free[name][at] += share

    def look(self) -> ClusterSnapshot:
        hosts = []
        for name, free in self.free.items():
            bare = host(name, len(free))
            hosts.append(attrs.evolve(bare, available=bare.available.set("GPU", sum(free))))
        groups = []
        for group_id, (name, places) in self.groups.items():
            bundles = tuple(Bundle({"GPU": share}) for _, share in places)
            assigned = (name,) * len(bundles)
            groups.append(Group(group_id, group_id, "CREATED", bundles, "PACK", assigned))
        return ClusterSnapshot(tuple(hosts), tuple(groups))

    def check(self, seen: ClusterSnapshot) -> None:
        for each in seen.hosts:
            if each.gpus is not None:
                assert sorted(each.gpus) == sorted(self.free[each.node_id])


@pytest.mark.parametrize("seed", range(20))
def test_seeing_every_step_every_gpu_is_known(seed: int):
    rng = random.Random(seed)
    truth, ledger = Truth("ab", 4), Ledger()
    ledger, _ = ledger.follow(truth.look())
    for _ in range(60):
        if rng.random() < 0.55:
            truth.take(rng.choice("ab"), [rng.choice(SHARES) for _ in range(rng.randint(1, 3))])
        else:
            truth.give_back(rng)
        ledger, seen = ledger.follow(truth.look())
        truth.check(seen)
        assert not seen.uncertain


@pytest.mark.parametrize("seed", range(40))
def test_missing_some_steps_nothing_false_is_said(seed: int):
    rng = random.Random(seed)
    truth, ledger = Truth("ab", 4), Ledger()
    known = 0
    for _ in range(60):
        for _ in range(rng.randint(0, 3)):
            if rng.random() < 0.55:
                truth.take(rng.choice("ab"), [rng.choice(SHARES) for _ in range(rng.randint(1, 3))])
            else:
                truth.give_back(rng)
        if rng.random() < 0.3:
            truth.take(rng.choice("ab"), [UNIT], group=False)
        elif rng.random() < 0.2:
            truth.give_back(rng, group=False)
        ledger, seen = ledger.follow(truth.look())
        truth.check(seen)
        known += not seen.uncertain
    assert known > 0


def test_a_slice_is_given_back_where_it_was_cut():
    """Two halves on one GPU, then one on another; the first one goes: two GPUs are cut, not one."""
    truth, ledger = Truth("a", 2), Ledger()
    ledger, _ = ledger.follow(truth.look())
    for _ in range(3):
        truth.take("a", [5_000])
        ledger, seen = ledger.follow(truth.look())
    name, places = truth.groups.pop("g1")
    truth.free[name][places[0][0]] += 5_000
    # Whoever sees only this cannot know; whoever saw them come does.
    assert truth.look().hosts[0].uncertain
    ledger, seen = ledger.follow(truth.look())
    assert sorted(seen.hosts[0].gpus) == [5_000, 5_000]


def test_a_host_that_is_whole_again_is_known_again():
    truth, ledger = Truth("a", 2), Ledger()
    truth.take("a", [3_000])
    truth.take("a", [3_000])
    ledger, seen = ledger.follow(truth.look())
    assert seen.uncertain
    truth.groups.clear()
    truth.free["a"] = [UNIT] * 2
    ledger, seen = ledger.follow(truth.look())
    assert not seen.uncertain
    truth.take("a", [3_000])
    ledger, seen = ledger.follow(truth.look())
    truth.take("a", [3_000])
    _, seen = ledger.follow(truth.look())
    assert sorted(seen.hosts[0].gpus) == [4_000, UNIT]
