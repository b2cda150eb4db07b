"""What came of planning in words, the same on a terminal and beside a drawing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planned import Planned
from nodeinit.placement.replicas import Replica
from nodeinit.placement.topology import Bundle, PlacementPlan


def head(plan: PlacementPlan) -> str:
    """A plan in a few words: `PACK, 4 bundles on 2 hosts`."""
    bundles = several(len(plan.bundles), "bundle")
    return f"{plan.strategy}, {bundles} on {several(len(plan.hosts), 'host')}"


def refusals(planned: Planned) -> Iterator[tuple[str, Infeasible]]:
    """Which replicas do not fit, and why: neighbours with one reason together."""
    for why, alike in itertools.groupby(planned.refused, lambda item: item[1]):
        yield _do_not_fit([replica for replica, _ in alike]), why


def outcome(planned: Planned) -> str:
    """The sum of it: `2 of 3 fit.`"""
    total, fitting = len(planned.answers), len(planned.placed)
    if not total:
        return "There is nothing to place: every model begins with no replica."
    if planned.feasible:
        return "It fits." if total == 1 else f"All {total} fit."
    if not fitting:
        return "It does not fit." if total == 1 else f"None of {total} fits."
    return f"{fitting} of {total} {'fits' if fitting == 1 else 'fit'}."


def amounts(bundle: Bundle) -> str:
    """What a bundle asks for: `CPU 2, GPU 1`."""
    return ", ".join(f"{name} {units:g}" for name, units in bundle.units().items())


def several(count: int, what: str) -> str:
    """`one host`, `2 hosts`."""
    return f"one {what}" if count == 1 else f"{count} {what}s"


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """The key to sort a name by."""
    return tuple(
        (text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]{0,9})", name)
    )


def _do_not_fit(replicas: list[Replica]) -> str:
    if len(replicas) == 1:
        return f"{replicas[0].name} does not fit"
    numbers = [replica.number for replica in replicas]
    one_model = len({replica.model_id for replica in replicas}) == 1
    if one_model and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{replicas[0].name} to #{replicas[-1].number} do not fit"
    return f"{', '.join(replica.name for replica in replicas)} do not fit"
