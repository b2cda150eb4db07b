"""Each replica in words: where its bundles go, or why they go nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from nodeinit.cli.picture import style
from nodeinit.diagram.plan.words import amounts, head, outcome, refusals
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planned import Planned
from nodeinit.placement.topology import PlacementPlan, names


def print_verdicts(console: Console, planned: Planned) -> None:
    """Print the plan of each replica, the explanation for those that do not fit, and the sum."""
    called = names(planned.snapshot.hosts)
    for i, (letter, replica, plan) in enumerate(planned.placed):
        console.print()
        line = Text.assemble((letter, style(i)), f"  {replica.name}: {head(plan)}")
        console.print(line, soft_wrap=True)
        for row in _bundles(plan, called):
            console.print(Text(f"   {row}"), soft_wrap=True)
    for which, why in refusals(planned):
        console.print()
        console.print(Text.assemble(("✗", "bold red"), f"  {which}"), soft_wrap=True)
        console.print(Text("\n".join(_indented(why))), soft_wrap=True)
    console.print()
    console.print(_sum(planned), soft_wrap=True)


def _bundles(plan: PlacementPlan, called: dict[str, str]) -> Iterator[str]:
    """Neighbours on one host with the same resources share a line."""
    rows = []
    placed = enumerate(zip(plan.node_ids, plan.bundles, strict=True))
    for (node_id, bundle), alike in itertools.groupby(placed, lambda item: item[1]):
        indices = [index for index, _ in alike]
        each = " each" if len(indices) > 1 else ""
        rows.append((_span(indices), called[node_id], amounts(bundle) + each))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for span, host, resources in rows:
        yield f"{span:{widths[0]}} -> {host:{widths[1]}}  {resources}"


def _span(indices: list[int]) -> str:
    first, last = indices[0], indices[-1]
    return f"bundle {first}" if first == last else f"bundles {first}-{last}"


def _indented(why: Infeasible) -> Iterator[str]:
    return (f"   {line}" for line in str(why).split("\n"))


def _sum(planned: Planned) -> Text:
    colour = "bold green" if planned.feasible else "bold red"
    return Text(outcome(planned), colour if planned.answers else "")
