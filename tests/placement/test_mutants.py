"""Faults planted in the planner: the rules must catch each of them, or they prove nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
import pytest

from nodeinit.placement import demand, gpus, packing, search, slices
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.shelves import Shelves, Term, View
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host
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
    PlacementRequest.of(1, 3, topology="zone"),
    PlacementRequest.of(2, data_parallel_size=2, cpu=1),
    PlacementRequest([{"CPU": 3}, *[{"GPU": 1}] * 2] * 2, "PACK", 2, data_parallel_size=2),
    PlacementRequest.of(
        2, gpu=0, resources={"TPU": 1}, topology="ray.io/tpu-slice-name", span_tp=True
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
                    TPU=rng.choice([0, 1]),
                )
            )
            made[-1] = attrs.evolve(
                made[-1],
                address=rng.choice(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
                labels=_labels(made[-1], rng),
            )
        snapshot = ClusterSnapshot(tuple(made))
        for request in SHAPES:
            yield request, snapshot


def _labels(made: Host, rng: random.Random) -> dict[str, str]:
    """A place in a TPU slice; and one in four hosts has lost its zone."""
    zone = {"zone": made.labels["zone"]} if rng.random() < 0.75 else {}
    worker = rng.choice("0123")
    return {**zone, "ray.io/tpu-slice-name": "s", "ray.io/tpu-worker-id": worker}


def broken() -> set[str]:
    """The rules that the plans of all cases break."""
    found = set()
    for request, snapshot in cases():
        plan = find(request, snapshot).plan
        if plan is not None:
            found |= {violation.rule.name for violation in violations(request, plan, snapshot)}
    return found


real_shelf_of, real_free, real_demand = View.shelf_of, View._free, demand.demand_of
real_members = demand._members


def on_shelves(change: Callable) -> Callable:
    """The shelf of a host that is changed first."""
    return lambda self, host: real_shelf_of(self, change(host))


def units_of(change: Callable) -> Callable:
    """The units of a request that is changed first."""
    return lambda request, *rest, **more: demand.demand_of(change(request), *rest, **more)


def _without_seat(unit, columns):
    needs = tuple(n * (name != "seat") for n, name in zip(unit.needs, columns, strict=True))
    return attrs.evolve(unit, needs=needs)


def as_if(strategy: str, instead: str) -> Callable:
    def change(request):
        if request.strategy != strategy:
            return request
        return attrs.evolve(request, strategy=instead)

    return change


def parted(request, parts):
    """Every engine's own bundle goes where it likes."""
    blocks, singles = real_members(request, parts)
    alone = [engine for engine, first in request.engines if engine != first]
    blocks = [tuple(i for i in block if i not in alone) for block in blocks]
    return blocks, [*singles, *((i,) for i in alone)]


def roomier(column: str, more: int) -> Callable:
    return lambda self, host, name: real_free(self, host, name) + more * (name == column)


FAULTS = {
    "dead hosts are used": (
        View, "shelf_of", on_shelves(lambda h: attrs.evolve(h, alive=True)), "hosts_alive",
    ),
    "what is taken is not subtracted": (
        View, "shelf_of",
        on_shelves(lambda h: attrs.evolve(h, available=h.total, gpus=None, slices=())),
        "gpus_not_oversubscribed",
    ),
    "one GPU too many": (View, "_free", roomier("GPU", 1), "gpus_not_oversubscribed"),
    "CPUs are not counted": (View, "_free", roomier("CPU", 99 * UNIT), "other_resources_fit"),
    "GPUs are counted by their sum": (
        gpus, "slots", lambda free, share: sum(free) // share, "gpus_not_oversubscribed",
    ),
    "a plan leaves the host as free as it was": (
        search, "occupied", lambda snapshot, name, plan: snapshot, "gpus_not_oversubscribed",
    ),
    "shelves do not follow what is put on hosts": (
        Shelves, "updated", lambda self, changes: self, "gpus_not_oversubscribed",
    ),
    "labels are ignored": (Term, "has_labels", lambda self, host: True, "labels_match"),
    "accelerators are ignored": (
        Term, "has_accelerator", lambda self, host: True, "accelerator_matches",
    ),
    "domains are ignored": (Term, "has_domain", lambda self, host: True, "one_domain"),
    "a host without the label is a domain too": (
        Term, "has_domain",
        lambda self, host: self.domain is None
        or host.labels.get(self.domain[0], self.domain[1]) == self.domain[1],
        "one_domain",
    ),
    "groups are split": (
        search, "spans", lambda request: (request.tensor_parallel_size,), "tp_groups_whole",
    ),
    "parts may share a host": (
        search, "demand_of",
        lambda *asked, **more: (found := real_demand(*asked, **more)) and attrs.evolve(
            found, units=tuple(_without_seat(unit, found.columns) for unit in found.units)
        ),
        "tp_groups_whole",
    ),
    "STRICT_SPREAD is only wished for": (
        search, "demand_of", units_of(as_if("STRICT_SPREAD", "SPREAD")), "strategy_honoured",
    ),
    "STRICT_PACK is only wished for": (
        search, "demand_of", units_of(as_if("STRICT_PACK", "PACK")), "strategy_honoured",
    ),
    "the engine goes its own way": (demand, "_members", parted, "engine_on_first_bundle"),
    "the engines of further ranks go their own way": (
        demand, "_members", parted, "engines_with_ranks",
    ),
    "a control bundle is left behind": (demand, "_members", parted, "dp_ranks_whole"),
    "two hosts may have one address": (
        search, "_addresses_clash", lambda plan, snapshot: False, "addresses_differ",
    ),
    "a TPU slice is taken in the order of ids": (
        slices, "_place", lambda host: (0, host.node_id), "slice_in_order",
    ),
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
