"""The rows of a timeline: what each host was at, for as many hosts as can be read."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from nodeinit.amounts import seconds, times
from nodeinit.diagram.plan.words import natural
from nodeinit.diagram.run.hosts import by_host
from nodeinit.diagram.run.names import host_names
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.spans import Span

MOST_LANES = 20
"""So many hosts have a lane of their own; those that failed or took longest, when there are more."""


@attrs.frozen
class Lane:
    """One row: what it is called, and what was in it. `thin` spans lie below the others."""

    name: str
    tip: str
    spans: Sequence[Span]
    thin: Sequence[Span] = ()


def lanes_of(run: RunRecord) -> tuple[list[Lane], str]:
    """The lanes of hosts, by name, and a line about those that have none."""
    called = host_names(run)
    found = by_host(run)
    chosen = set(found)
    rest = ""
    if len(found) > MOST_LANES:

        def weight(node_id: str) -> tuple[bool, float]:
            spans = found[node_id]
            return any(span.failed for span in spans), sum(s.seconds for s in spans if _fat(s))

        ranked = sorted(found, key=weight, reverse=True)
        chosen = set(ranked[:MOST_LANES])
        spans = [span for node_id in ranked[MOST_LANES:] for span in found[node_id] if _fat(span)]
        longest = max((span.seconds for span in spans), default=0.0)
        rest = (
            f"and {times(len(found) - MOST_LANES, 'more host')}, with {times(len(spans), 'fetch')}"
        )
        rest = rest.replace("fetchs", "fetches") + f" of at most {seconds(longest)}"
    ordered = sorted(chosen, key=lambda node_id: (natural(called(node_id)), node_id))
    lanes = [
        Lane(
            called(node_id),
            f"host {called(node_id)}\n{node_id}",
            [span for span in found[node_id] if _fat(span)],
            [span for span in found[node_id] if not _fat(span)],
        )
        for node_id in ordered
    ]
    return lanes, rest


def _fat(span: Span) -> bool:
    """Whether it is the work of one host, and not something that it has in common with others."""
    return span.kind != "group"
