"""Why a request cannot be placed, and what would let it: an answer for people and for programs."""

from __future__ import annotations

from typing import Any

import attrs

from nodeinit.frozen import EMPTY, FrozenMap
from nodeinit.placement.alternatives import alternatives
from nodeinit.placement.diagnosis import Excluded, diagnose
from nodeinit.placement.ray_alone import what_ray_does
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.topology import ClusterSnapshot

_MOST_HOSTS = 4
_MOST_CONSTRAINTS = 6
_MOST_ALTERNATIVES = 6


@attrs.frozen
class Infeasible:
    """There is no plan.

    `reason` is one sentence. `constraints` are the hosts that cannot be used, by what rules
    them out, `binding` the first requirement that leaves no host, `shortfall` the amounts (units)
    that the nearest host, or the cluster, lacks. `alternatives` are changes of which each one alone
    makes the request fit, `ray` is what Ray alone would do. `temporary`: it would fit if nothing
    else ran on the living hosts, so waiting may help. `proven` is false when the search was cut
    short and a plan may exist all the same.
    """

    reason: str
    constraints: tuple[Excluded, ...] = ()
    shortfall: FrozenMap = EMPTY
    alternatives: tuple[str, ...] = ()
    temporary: bool = False
    proven: bool = True
    binding: str = ""
    ray: str = ""

    def __str__(self) -> str:
        """The whole answer in under 15 lines; the first has the reason and the nearest way out."""
        first = f"; fits {self.alternatives[0]}" if self.alternatives else ""
        lines = [f"{self.reason}{first}"]
        for item in self.constraints[:_MOST_CONSTRAINTS]:
            lines.append(f"  {_some(item.hosts)}: {item.constraint}")
        lines += [f"  fits {way}" for way in self.alternatives[1:_MOST_ALTERNATIVES]]
        if not self.proven:
            lines.append("  the search was cut short, so a placement may exist all the same")
        if self.ray:
            lines.append(f"  {self.ray}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {
            "reason": self.reason,
            "binding": self.binding,
            "constraints": [attrs.asdict(item) for item in self.constraints],
            "shortfall": dict(self.shortfall),
            "alternatives": list(self.alternatives),
            "temporary": self.temporary,
            "proven": self.proven,
            "ray_alone": self.ray,
        }


def _some(hosts: tuple[str, ...]) -> str:
    shown, more = ", ".join(hosts[:_MOST_HOSTS]), len(hosts) - _MOST_HOSTS
    return f"{shown} and {more} more" if more > 0 else shown


def explain(
    request: PlacementRequest, snapshot: ClusterSnapshot, *, proven: bool = True
) -> Infeasible:
    """Explain why `request`, for which no plan was found, does not fit the cluster."""
    emptied = find(request, snapshot.emptied())
    # Only a proof makes it hopeless.
    temporary = emptied.plan is not None or not emptied.proven
    found = diagnose(request, snapshot, temporary=temporary)
    return Infeasible(
        found.reason,
        found.constraints,
        found.shortfall,
        tuple(alternative.text for alternative in alternatives(request, snapshot)),
        temporary,
        proven,
        found.binding,
        what_ray_does(request, snapshot),
    )
