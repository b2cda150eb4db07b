"""Faults planted in the planner: the rules must catch each of them, or they prove nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
import pytest

from nodeinit.placement import demand, gpus, packing, search
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot
from tests.strategies import host

SHAPES = [
    PlacementRequest.of(2, 2, cpu=1, engine={"CPU": 2}),
    PlacementRequest.of(4, 1, labels={"zone": "a"}),
    PlacementRequest.of(2, 1, accelerator_type="H100"),
    PlacementRequest.of(4, 1, span_tp=True),
    PlacementRequest.of(1, 3, strategy="STRICT_SPREAD"),
    PlacementRequest.of(1, 3, strategy="STRICT_PACK"),
    PlacementRequest.of(1, 4, gpu=0.6),
    PlacementRequest([{"CPU": 3}, *[{"GPU": 1}] * 2], "PACK", 2),
    PlacementRequest(
        (Bundle.of({"zone": "a"}, GPU=1), Bundle.of({"zone": "b"}, GPU=1)), "PACK", 1, 2
    ),
]


def cases():
    rng = random.Random(1)
    for _ in range(250):
        made = []
        for name in "abc"[: rng.randint(1, 3)]:
            total = rng.choice([1, 2, 4])
            each = tuple(rng.choice([0, 4_000, UNIT, UNIT]) for _ in range(total))
            free = sum(each) / UNIT
            cpu = rng.choice([1, 2, 4, 8])
            made.append(
                host(
                    name,
                    total,
                    free,
                    cpu=8,
                    free_cpu=cpu,
                    zone=rng.choice("ab"),
                    kind=rng.choice(["H100", "A100"]),
                    alive=rng.random() < 0.8,
                    gpu_list=each,
                )
            )
        snapshot = ClusterSnapshot(tuple(made))
        for request in SHAPES:
            yield request, snapshot


def broken() -> set[str]:
    """The rules that the plans of all cases break."""
    found = set()
    for request, snapshot in cases():
        plan = find(request, snapshot).plan
        if plan is not None:
            found |= {violation.rule.name for violation in violations(request, plan, snapshot)}
    return found


def on_shelves(change: Callable) -> Callable:
    """The search, on hosts that are changed first."""

    def shelve(asked, snapshot, reading):
        hosts = tuple(change(h) for h in snapshot.hosts)
        return demand.shelve(asked, ClusterSnapshot(hosts, snapshot.groups), reading)

    return shelve


def units_of(change: Callable) -> Callable:
    """The units of a request that is changed first."""
    return lambda request, parts=1: demand.demand_of(change(request), parts)


def as_if(strategy: str, instead: str) -> Callable:
    def change(request):
        if request.strategy != strategy:
            return request
        return attrs.evolve(request, strategy=instead)

    return change


real_needs, real_members, real_room = demand._needs, demand._members, demand.room


def parted(request, parts):
    blocks, singles = real_members(request, parts)
    if blocks[0][:2] == (0, 1) and request.device and not request.bundles[0].gpu:
        return [blocks[0][1:], *blocks[1:]], [(0,), *singles]
    return blocks, singles


def roomier(column: str, more: int) -> Callable:
    def room(given, columns, reading):
        row = real_room(given, columns, reading)
        return tuple(
            have + more * (name == column) for name, have in zip(columns, row, strict=True)
        )

    return room


FAULTS = {
    "dead hosts are used": (
        search, "shelve", on_shelves(lambda h: attrs.evolve(h, alive=True)), "hosts_alive",
    ),
    "what is taken is not subtracted": (
        search, "shelve", on_shelves(lambda h: attrs.evolve(h, available=h.total, gpus=None)),
        "gpus_not_oversubscribed",
    ),
    "one GPU too many": (demand, "room", roomier("GPU", 1), "gpus_not_oversubscribed"),
    "CPUs are not counted": (demand, "room", roomier("CPU", 99 * UNIT), "other_resources_fit"),
    "GPUs are counted by their sum": (
        gpus, "slots", lambda free, share: sum(free) // share, "gpus_not_oversubscribed",
    ),
    "labels are ignored": (demand.Term, "has_labels", lambda self, host: True, "labels_match"),
    "accelerators are ignored": (
        demand.Term, "has_accelerator", lambda self, host: True, "accelerator_matches",
    ),
    "groups are split": (
        search, "spans", lambda request: (request.tensor_parallel_size,), "tp_groups_whole",
    ),
    "parts may share a host": (
        demand, "_needs", lambda bundles, columns, seated: real_needs(bundles, columns, False)
        if "seat" not in columns
        else (*real_needs(bundles, columns, False)[:-1], 0),
        "tp_groups_whole",
    ),
    "STRICT_SPREAD is only wished for": (
        search, "demand_of", units_of(as_if("STRICT_SPREAD", "SPREAD")), "strategy_honoured",
    ),
    "STRICT_PACK is only wished for": (
        search, "demand_of", units_of(as_if("STRICT_PACK", "PACK")), "strategy_honoured",
    ),
    "the engine goes its own way": (demand, "_members", parted, "engine_on_first_bundle"),
    "hosts are handed out in the wrong order": (
        packing.Packing, "run",
        lambda self, run=packing.Packing.run: (found := run(self)) and found[::-1],
        "labels_match",
    ),
}  # fmt: skip


def test_without_a_fault_nothing_is_broken():
    assert broken() == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, monkeypatch):
    where, name, wrong, rule = FAULTS[fault]
    monkeypatch.setattr(where, name, wrong)
    assert rule in broken()
