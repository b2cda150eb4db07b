"""Each replica in words: where its bundles go, or why they go nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from nodeinit.cli.picture import style
from nodeinit.cli.planned import Planned
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.replicas import Replica
from nodeinit.placement.topology import PlacementPlan, names


def print_verdicts(console: Console, planned: Planned) -> None:
    """Print the plan of each replica, the explanation for those that do not fit, and the sum."""
    called = names(planned.snapshot.hosts)
    for i, (letter, replica, plan) in enumerate(planned.placed):
        console.print()
        head = Text.assemble((letter, style(i)), f"  {_head(replica, plan)}")
        console.print(head, soft_wrap=True)
        for line in _bundles(plan, called):
            console.print(Text(f"   {line}"), soft_wrap=True)
    for why, alike in itertools.groupby(planned.refused, lambda item: item[1]):
        console.print()
        head = Text.assemble(("✗", "bold red"), f"  {_names([replica for replica, _ in alike])}")
        console.print(head, soft_wrap=True)
        console.print(Text("\n".join(_indented(why))), soft_wrap=True)
    console.print()
    console.print(_sum(planned), soft_wrap=True)


def _head(replica: Replica, plan: PlacementPlan) -> str:
    bundles = _several(len(plan.bundles), "bundle")
    return f"{replica.name}: {plan.strategy}, {bundles} on {_several(len(plan.hosts), 'host')}"


def _bundles(plan: PlacementPlan, called: dict[str, str]) -> Iterator[str]:
    """Neighbours on one host with the same resources share a line."""
    rows = []
    placed = enumerate(zip(plan.node_ids, plan.bundles, strict=True))
    for (node_id, bundle), alike in itertools.groupby(placed, lambda item: item[1]):
        indices = [index for index, _ in alike]
        amounts = ", ".join(f"{name} {units:g}" for name, units in bundle.units().items())
        each = " each" if len(indices) > 1 else ""
        rows.append((_span(indices), called[node_id], amounts + each))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for span, host, amounts in rows:
        yield f"{span:{widths[0]}} -> {host:{widths[1]}}  {amounts}"


def _span(indices: list[int]) -> str:
    first, last = indices[0], indices[-1]
    return f"bundle {first}" if first == last else f"bundles {first}-{last}"


def _names(replicas: list[Replica]) -> str:
    if len(replicas) == 1:
        return f"{replicas[0].name} does not fit"
    numbers = [replica.number for replica in replicas]
    one_model = len({replica.model_id for replica in replicas}) == 1
    if one_model and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{replicas[0].name} to #{replicas[-1].number} do not fit"
    return f"{', '.join(replica.name for replica in replicas)} do not fit"


def _indented(why: Infeasible) -> Iterator[str]:
    return (f"   {line}" for line in str(why).split("\n"))


def _sum(planned: Planned) -> Text:
    total, fitting = len(planned.answers), len(planned.placed)
    if not total:
        return Text("There is nothing to place: every model begins with no replica.")
    if planned.feasible:
        return Text("It fits." if total == 1 else f"All {total} fit.", "bold green")
    none = "It does not fit." if total == 1 else f"None of {total} fits."
    some = f"{fitting} of {total} {'fits' if fitting == 1 else 'fit'}."
    return Text(some if fitting else none, "bold red")


def _several(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"
