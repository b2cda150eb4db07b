"""Which scenarios a check runs: a few small worlds, every single fault in them, and then chance.

Chance follows the path: worlds are solvable 7 times of 8, and most of what goes wrong goes wrong on
the way to ready. `build` needs only a way to choose, so it serves Hypothesis, `random.Random` and
enumeration alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from nodeinit.clusters.simulated import SimFault
from nodeinit.testing.scenario import Act, Other, Scenario
from nodeinit.testing.trace import Trace

Choose = Callable[[Sequence[Any]], Any]

WORLDS = (
    Scenario((2, 2), 2, 1),
    Scenario((2, 2), 2, 2, labels=("rack=r1",)),
    Scenario((4, 4), 1, 3, heal=False, pin="hosts", kinds=("L4", "H100"), kind="H100"),
    Scenario((8, 8, 0), 1, 2, taken=(7, 0), pin="none", gpu=0.6),
    Scenario((1, 1, 1, 1), 1, 3, labels=("rack=r1", "rack=r1", "rack=r2", "rack=r2")),
)
"""Small worlds in which every single fault is tried. One, two and three hosts of the plan, with one to
spare and without; each pin; a neighbour; labels on all hosts, on some and on none; accelerators of two
kinds; shares of GPUs; a host without any."""

NEVER = Other("on_before_init", "permanent", 99)
"""Another callback that is there, and never fails: hooks are waited for on every edge."""

LANDMARKS = (
    attrs.evolve(WORLDS[0], acts=(Act(20.0, "kill", "a"),)),
    attrs.evolve(WORLDS[0], acts=(Act(1.0, "cancel"),)),
    attrs.evolve(WORLDS[0], faults=(SimFault("manifest", "permanent"),)),
    attrs.evolve(WORLDS[4], acts=(Act(20.0, "kill", "a"),)),
    attrs.evolve(WORLDS[1], acts=(Act(8.0, "cancel"),)),
    attrs.evolve(WORLDS[0], faults=(SimFault("reserve", "steal", 0, "a"),)),
    Scenario((2, 2, 2), 2, 1, acts=(Act(20.0, "kill", "a"), Act(50.0, "kill", "b"))),
    Scenario((1,), 2, 1),
    attrs.evolve(WORLDS[0], acts=(Act(0.0, "cancel", rounds=-1),), others=(NEVER,)),
)
"""What most often shows something: tried before everything else. A lost host, a second plan and a
third, a cancel early and late and before the first step, a failure, no room."""

KINDS = ("temporary", "permanent", "crash", "hang", "slow")
OPS = ("snapshot", "manifest", "fetch", "reserve", "remove", "stop_fetch")
HOOKS = ("on_before_init", "on_before_download", "on_before_placement", "on_after_init")
SIZES = ((2, 1), (1, 1), (2, 2), (4, 2), (1, 3), (1, 2))
MOMENTS = (
    *(round(0.005 * n, 3) for n in range(12)),
    *(0.5 * n for n in range(1, 17)),
    *(7 + 0.01 * n for n in range(12)),
    *(10.0 * n for n in range(1, 12)),
    200.0,
    700.0,
)


def build(choose: Choose, ops: Sequence[str] = OPS, hooks: Sequence[str] = HOOKS) -> Scenario:
    """A world that usually has room, and what goes wrong in it.

    `ops` are the operations that may, `hooks` those in which another callback may fail.
    """
    tp, pp = choose(SIZES)
    gpus = [choose((8, 8, 4, 2, 1, 0)) for _ in range(choose((2, 1, 3, 4)))]
    if choose((True,) * 7 + (False,)) and sum(g // tp for g in gpus) < pp:
        gpus[0] = 8
    node_ids = "abcd"[: len(gpus)]
    taken = tuple(choose((0, 0, 1, 2)) for _ in gpus) if choose((False, False, True)) else ()
    flavour = _flavour(choose, gpus, tp, pp)
    theme = choose(("faults", "acts", "acts", "others", "all", "all", "none"))
    several = (1, 1, 2, 3)
    faults: list[SimFault] = []
    acts: list[Act] = []
    others: list[Other] = []
    if theme in ("faults", "all"):
        for _ in range(choose(several)):
            op, kind = choose(ops), choose((*KINDS, "kill", "steal"))
            faults.append(SimFault(op, kind, choose((0, 0, 0, 1, 1, 2)), choose(node_ids)))
    if theme in ("acts", "all"):
        for _ in range(choose(several)):
            what = choose(
                ("cancel", "cancel", "release", "kill", "kill", "steal", "disk_full", "join")
            )
            host = "abcde"[len(gpus)] if what == "join" else _host(what, choose(node_ids))
            acts.append(Act(choose(MOMENTS), what, host, choose((0, 0, 1))))
    if theme == "others" or choose((False,) * 5 + (True,)):
        others.append(Other(choose(hooks), choose(("permanent", "temporary")), choose((0, 0, 1))))
    return Scenario(
        gpus=tuple(gpus),
        tp=tp,
        pp=pp,
        heal=choose((True, False)),
        pin=choose(("node", "node", "hosts", "none")),
        taken=tuple(min(t, g) for t, g in zip(taken, gpus, strict=False)),
        faults=tuple(faults),
        acts=tuple(acts),
        others=tuple(others),
        **flavour,
    )


def _flavour(choose: Choose, gpus: list[int], tp: int, pp: int) -> dict[str, Any]:
    """What is not as everywhere: labels, kinds of accelerators, shares of GPUs, a strategy.

    Where one host must have what is asked for, the first one gets room for it.
    """
    kind = choose((*("",) * 6, "labels", "kinds", "gpu", "strategy", "topology", "span_tp"))

    def each(of: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(choose(of) for _ in gpus)

    room = tp * pp <= 8 and choose((True,) * 7 + (False,))
    if kind in ("kinds", "topology", "strategy") and room:
        gpus[0] = 8
    match kind:
        case "labels":
            return {"labels": each(("", "rack=r1", "rack=r2", "rack=r1 zone=z1"))}
        case "kinds":
            found = each(("H100", "L4", ""))
            return {"kinds": ("H100", *found[1:]), "kind": choose(("H100", "H100", ""))}
        case "gpu" if tp == 1:
            return {"gpu": choose((0.5, 0.3, 0.6))}
        case "strategy":
            return {"strategy": choose(("SPREAD", "PACK", "STRICT_PACK"))}
        case "topology":
            racks = each(("rack=r1", "rack=r2", ""))
            return {"labels": ("rack=r1", *racks[1:]), "topology": "rack"}
        case "span_tp":
            return {"span_tp": True}
    return {}


def _host(what: str, node_id: str) -> str:
    return node_id if what in ("kill", "steal") else ""


def chance(seed: int, ops: Sequence[str] = OPS, hooks: Sequence[str] = HOOKS) -> Iterator[Scenario]:
    """Scenarios without end, always the same ones for a seed; `ops` and `hooks` as for `build`."""
    rng = random.Random(seed)
    while True:
        yield build(rng.choice, ops, hooks)


def singles(trace: Trace, hooks: Sequence[str] = HOOKS) -> Iterator[Scenario]:
    """Everything that can go wrong once in a world, given its run in which nothing did.

    That is: each call of the cluster raises, hangs, takes long, or a host dies or is taken during it
    (so also between plan and reservation, and between that and `on_after_init`), once and every time;
    somebody cancels before the first step, in it, at every step and just after, and while each hook
    waits, in each of its first turns of the loop; once, twice, and while what is held is given back,
    also where that fails; at all these moments a host dies or is taken, the disk is full, or the
    node is released; a host joins; another callback fails in each hook.
    """
    world = trace.scenario
    for op, calls in sorted(trace.cluster.calls.items()):
        for call in range(min(calls, 3)):
            for kind in KINDS:
                yield attrs.evolve(world, faults=(SimFault(op, kind, call),))
            for node_id in world.node_ids:
                for kind in ("kill", "steal"):
                    yield attrs.evolve(world, faults=(SimFault(op, kind, call, node_id),))
        for kind in ("hang", "temporary"):
            yield attrs.evolve(world, faults=tuple(SimFault(op, kind, n) for n in range(9)))
    for times in (1, 9):
        yield attrs.evolve(world, faults=tuple(SimFault("reserve", "lie", n) for n in range(times)))
    stolen = tuple(SimFault("reserve", "steal", n, node) for n, node in enumerate(world.node_ids))
    yield attrs.evolve(world, faults=stolen)
    four = tuple(SimFault("reserve", "steal", n, node) for n, node in enumerate("abcd"))
    yield Scenario((2,) * 4, 2, 1, heal=world.heal, pin=world.pin, faults=four)
    for at, rounds in moments(trace):
        yield attrs.evolve(world, acts=(Act(at, "cancel", rounds=rounds),))
        if not rounds:
            for node_id in world.node_ids:
                yield attrs.evolve(world, acts=(Act(at, "kill", node_id),))
            yield attrs.evolve(world, acts=(Act(at, "steal", world.node_ids[-1]),))
            yield attrs.evolve(world, acts=(Act(at, "disk_full"),))
            yield attrs.evolve(world, acts=(Act(at, "release"),))
    yield attrs.evolve(world, acts=(Act(0.0, "cancel", rounds=-1),))
    yield from _on_the_way_back(world, trace)
    yield from _with_others(world, hooks)


def _on_the_way_back(world: Scenario, trace: Trace) -> Iterator[Scenario]:
    """A second thing, while the first is being undone; a host that joins in the place of another."""
    entered = {step.after.state: step.at for step in trace.driver.steps}
    for op, phase in (("manifest", "config"), ("fetch", "download"), ("reserve", "placement")):
        failed = (SimFault(op, "permanent"),)
        for late in (0.005, 0.015, 0.025, 0.035):
            at = round(entered.get(phase, 0.0) + late, 6)
            yield attrs.evolve(world, faults=failed, acts=(Act(at, "cancel"),))
            cancels = (Act(at, "cancel"), Act(round(at + 0.005, 6), "cancel"))
            yield attrs.evolve(world, acts=cancels)
        if op == "manifest":
            continue
        for undo in ("remove", "stop_fetch"):
            never = tuple(SimFault(undo, "temporary", n) for n in range(9))
            cancel = Act(round(entered.get(phase, 0.0) + 0.015, 6), "cancel")
            yield attrs.evolve(world, faults=never, acts=(cancel,))
            yield attrs.evolve(world, faults=(SimFault(op, "lie"), *never))
    new = "abcde"[len(world.gpus)]
    for at in (1.0, 30.0):
        lost = Act(20.0, "kill", world.node_ids[0])
        yield attrs.evolve(world, acts=(Act(at, "join", new), lost))
    full = tuple(min(gpus, 8) for gpus in world.gpus)
    yield attrs.evolve(world, taken=full, acts=(Act(0.5, "join", new),))


def _with_others(world: Scenario, hooks: Sequence[str]) -> Iterator[Scenario]:
    """Another callback fails; in the second call of a hook, while a lost node heals."""
    lost = Act(20.0, "kill", world.node_ids[0])
    for hook in hooks:
        for kind in ("permanent", "temporary"):
            yield attrs.evolve(world, others=(Other(hook, kind),))
            yield attrs.evolve(world, others=(Other(hook, kind, 1),), acts=(lost,))
    # A setback, and then the disk is full while the next try is waited for.
    for op in ("manifest", "fetch", "reserve"):
        full = tuple(Act(at, "disk_full") for at in (0.5, 8.0))
        yield attrs.evolve(world, faults=(SimFault(op, "temporary"),), acts=full)
        cancels = tuple(Act(at, "cancel") for at in (0.5, 8.0))
        yield attrs.evolve(world, faults=(SimFault(op, "temporary"),), acts=cancels)


def moments(trace: Trace) -> list[tuple[float, int]]:
    """When something happened in a run, and just after, and while each hook was waiting."""
    times = {0.0, 20.0}
    for step in trace.driver.steps:
        if step.at < 60:
            times |= {step.at, round(step.at + 0.001, 6)}
    inside = set()
    for call in trace.calls:
        if call.ended is not None and call.began < 60:
            inside.add(call.began)
            times |= {round((call.began + call.ended) / 2, 6)}
    found = {(at, 0) for at in times} | {(at, rounds) for at in inside for rounds in (1, 2, 3)}
    return sorted(found)
