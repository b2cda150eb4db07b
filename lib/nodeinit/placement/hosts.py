"""What a cluster is made of: bundles, hosts, and the groups that hold bundles on hosts. No Ray.

All amounts of resources are integers in Ray's fixed point, see `nodeinit.placement.amounts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import attrs
from pyrsistent import PMap

from nodeinit.frozen import EMPTY, FrozenMap, freeze_map
from nodeinit.placement.amounts import UNIT, amount, fixed


def _frozen(values: Mapping[str, Any]) -> FrozenMap:
    """Amounts or labels, made immutable; their values are numbers and text, which are already."""
    return values if isinstance(values, PMap) else freeze_map(values)


@attrs.frozen(cache_hash=True)
class Bundle:
    """One slot of a placement group: what a single worker needs.

    `resources` maps Ray's resource names (`GPU`, `CPU`, `accelerator_type:H100`, …) to fixed-point
    amounts; `labels` is a label selector that the host must satisfy, in Ray's grammar.
    """

    resources: FrozenMap = attrs.field(converter=_frozen)
    labels: FrozenMap = attrs.field(default=EMPTY, converter=_frozen)

    @classmethod
    def of(cls, labels: Mapping[str, str] | None = None, **amounts: float) -> Bundle:
        """A bundle from amounts in units: `Bundle.of(GPU=1, CPU=0.5)`."""
        return cls.from_units(amounts, labels)

    @classmethod
    def from_units(
        cls, amounts: Mapping[str, float], labels: Mapping[str, str] | None = None
    ) -> Bundle:
        """A bundle from a mapping of resource names to amounts in units.

        A plain 0 is left out. An amount below 1e-4 is kept as the 0 that Ray makes of it, so that
        a request can refuse it. `ValueError` for what is not a finite number.
        """
        asked = {name: (value, fixed(value)) for name, value in amounts.items()}
        return cls(
            {name: steps for name, (value, steps) in asked.items() if value != 0}, labels or {}
        )

    @cached_property
    def gpu(self) -> int:
        """GPUs in fixed point."""
        return int(self.resources.get("GPU", 0))

    def units(self) -> dict[str, float]:
        """The amounts in units, sorted by name: what Ray's API takes and a person reads."""
        return {name: amount(value) for name, value in sorted(self.resources.items())}


@attrs.frozen(cache_hash=True)
class Host:
    """One Ray node (a machine) as the planner sees it.

    `total` and `available` map resource names to fixed-point amounts. `name` is what a person calls
    the host (its host name or IP); `node_id` is Ray's hex id. `gpus` is the free amount of each
    single GPU where that is known; Ray itself reports only their sum. `slices` are the fractions of
    GPUs that live groups hold there, for hosts whose `gpus` do not follow from them. `address` is
    the IP by which other hosts reach it, "" where that is not known or says nothing (simulated
    hosts).
    """

    node_id: str
    name: str
    total: FrozenMap = attrs.field(converter=_frozen)
    available: FrozenMap = attrs.field(converter=_frozen)
    labels: FrozenMap = attrs.field(default=EMPTY, converter=_frozen)
    alive: bool = True
    gpus: tuple[int, ...] | None = None
    address: str = ""
    slices: tuple[int, ...] = ()

    def free(self, resource: str) -> int:
        """The free amount of a resource, fixed point; 0 for a dead host."""
        return int(self.available.get(resource, 0)) if self.alive else 0

    @property
    def uncertain(self) -> bool:
        """Whether more is taken of single GPUs than the sum tells: who asks for them may be refused."""
        return self.gpus is None and (bool(self.slices) or self.free("GPU") % UNIT != 0)

    @property
    def untouched(self) -> bool:
        """Whether all that it has is free."""
        return self.available == self.total


def names(hosts: Iterable[Host]) -> dict[str, str]:
    """What to call each host in a message, by node id: its name, and its id where names repeat."""
    hosts = tuple(hosts)
    seen = Counter(host.name for host in hosts)
    return {
        host.node_id: host.name if seen[host.name] == 1 else f"{host.name}/{host.node_id[:8]}"
        for host in hosts
    }


@attrs.frozen(cache_hash=True)
class Group:
    """A live placement group of anybody, as the cluster reports it.

    `assigned` maps bundle index to node id for the bundles that have a host.
    """

    group_id: str
    name: str
    state: str
    bundles: tuple[Bundle, ...]
    strategy: str
    assigned: tuple[str | None, ...]

    @cached_property
    def gpu(self) -> int:
        """The GPUs of all its bundles, fixed point."""
        return sum(bundle.gpu for bundle in self.bundles)

    def on(self, node_id: str) -> tuple[Bundle, ...]:
        """Its bundles on one host."""
        placed = zip(self.bundles, self.assigned, strict=False)
        return tuple(bundle for bundle, at in placed if at == node_id)


def total_of(bundles: Iterable[Bundle], resource: str) -> int:
    """The sum of one resource over bundles, fixed point."""
    return sum(int(bundle.resources.get(resource, 0)) for bundle in bundles)
