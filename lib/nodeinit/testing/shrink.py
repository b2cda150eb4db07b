"""Making a failing scenario smaller: towards the typical world, without what is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from nodeinit.clusters.simulated import SimFault
from nodeinit.testing.scenario import ODD, Act, Scenario

_TYPICAL: tuple[dict[str, Any], ...] = (
    {"gpus": (1,), "tp": 2, "pp": 1, "taken": (), "labels": (), "kinds": ()},  # no room
    *({"acts": (Act(at, "cancel"),)} for at in (1.0, 5.0, 8.0, 20.0)),
    {"acts": (Act(20.0, "kill", "a"),)},
    *({"faults": (SimFault(op, "permanent"),)} for op in ("manifest", "fetch", "reserve")),
    {"faults": (SimFault("reserve", "steal", 0, "a"),)},
)
"""One thing that goes wrong, in the place of others."""


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], tries: int = 150) -> Scenario:
    """The smallest scenario found that still fails, in so many tries at most."""
    seen = {scenario}
    while True:
        for smaller in _smaller(scenario):
            if smaller in seen or not _sound(smaller):
                continue
            if tries <= 0:
                return scenario
            seen.add(smaller)
            tries -= 1
            if fails(smaller):
                scenario = smaller
                break
        else:
            return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """What is simpler by one thing, the greatest simplifications first."""
    nothing = attrs.evolve(scenario, faults=(), acts=(), others=())
    if nothing != scenario:
        yield nothing
    events = len(scenario.faults) + len(scenario.acts) + len(scenario.others)
    for one in _TYPICAL[: len(_TYPICAL) if events > 1 else events]:
        yield attrs.evolve(nothing, **one)
    for name in ("faults", "acts", "others"):
        events = getattr(scenario, name)
        for i in range(len(events)):
            fewer: Any = {name: (*events[:i], *events[i + 1 :])}
            yield attrs.evolve(scenario, **fewer)
    if scenario.taken:
        yield attrs.evolve(scenario, taken=())
    for typical in (Scenario((2,), 2, 1), Scenario((2, 2), 2, 1), Scenario((2, 2), 2, 2)):
        happens: Any = {name: getattr(scenario, name) for name in ("faults", "acts", "others")}
        smaller = attrs.evolve(typical, heal=scenario.heal, pin=scenario.pin, **happens)
        if smaller.size < scenario.size:
            yield smaller
        smaller = attrs.evolve(
            scenario, gpus=typical.gpus, tp=typical.tp, pp=typical.pp, taken=typical.taken
        )
        if smaller.size < scenario.size:
            yield smaller
    if len(scenario.gpus) > 1:
        yield attrs.evolve(scenario, gpus=scenario.gpus[:-1], taken=scenario.taken[:-1])
    if (scenario.pp, scenario.tp) != (1, 2):
        yield attrs.evolve(scenario, tp=2, pp=1)
    for name in ("heal", "pin", *ODD):
        typical_value = getattr(Scenario(), name)
        if getattr(scenario, name) != typical_value:
            yield attrs.evolve(scenario, **{name: typical_value})
    yield from _simpler_events(scenario)


def _simpler_events(scenario: Scenario) -> Iterator[Scenario]:
    for i, act in enumerate(scenario.acts):
        for at, rounds in ((0.0, 0), (1.0, 0), (20.0, 0), (act.at, 0)):
            simpler = Act(at, act.what, act.node_id, rounds)
            if (at in (0.0, 1.0, 20.0) and act.at in (0.0, 1.0, 20.0)) and at >= act.at:
                continue
            if simpler != act:
                acts = (*scenario.acts[:i], simpler, *scenario.acts[i + 1 :])
                yield attrs.evolve(scenario, acts=acts)
    for i, fault in enumerate(scenario.faults):
        simpler_fault = SimFault(fault.op, fault.kind, 0, fault.node_id)
        if fault.kind not in ("kill", "steal"):
            simpler_fault = attrs.evolve(simpler_fault, node_id=None)
        if simpler_fault != fault:
            faults = (*scenario.faults[:i], simpler_fault, *scenario.faults[i + 1 :])
            yield attrs.evolve(scenario, faults=faults)


def _sound(scenario: Scenario) -> bool:
    """Whether everything in it is about hosts that there are."""
    joined = (act.node_id for act in scenario.acts if act.what == "join")
    hosts = {"", None, *scenario.node_ids, *joined}
    return (
        all(act.node_id in hosts for act in scenario.acts)
        and all(fault.node_id in hosts for fault in scenario.faults)
        and (scenario.tp == 1 or scenario.gpu >= 1)  # a config would be refused
        and all(t <= g for t, g in zip(scenario.taken, scenario.gpus, strict=False))
    )
