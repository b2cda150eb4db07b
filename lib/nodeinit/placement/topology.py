"""What a placement is planned against and what came of it: pure values, no Ray.

All amounts of resources are integers in Ray's fixed point, 1e-4 of a unit, truncated as Ray does
(`int(amount * 10000)`): 1 GPU is 10000, a third of one is 3333.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from nodeinit.frozen import EMPTY, FrozenMap, freeze_map

UNIT = 10_000
"""One whole resource in fixed point."""


def fixed(amount: float) -> int:
    """Ray's fixed-point value of an amount that is asked for (units -> 1e-4 units, truncated).

    `ValueError` for what is not a finite number; `True` is none, though Ray takes it for 1.
    """
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError(f"{amount!r} is not a number")
    if not math.isfinite(amount):
        raise ValueError(f"{amount!r} is not finite")
    return math.trunc(amount * UNIT)


def reported(amount: float) -> int:
    """The fixed-point value of an amount that Ray reports, which is a multiple of 1e-4 already.

    Rounded: truncating again would lose a step wherever the float lies just below (0.5699).
    """
    return round(amount * UNIT)


def amount(value: int) -> float:
    """The amount in units that a fixed-point value stands for; whole numbers as `int`."""
    whole, rest = divmod(value, UNIT)
    return whole if rest == 0 else value / UNIT


def _resources(values: Mapping[str, int]) -> FrozenMap:
    return freeze_map(values, "resources")


@attrs.frozen
class Bundle:
    """One slot of a placement group: what a single worker needs.

    `resources` maps Ray's resource names (`GPU`, `CPU`, `accelerator_type:H100`, …) to fixed-point
    amounts; `labels` is a label selector that the host must satisfy, in Ray's grammar.
    """

    resources: FrozenMap = attrs.field(converter=_resources)
    labels: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)

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

    @property
    def gpu(self) -> int:
        """GPUs in fixed point."""
        return int(self.resources.get("GPU", 0))

    def units(self) -> dict[str, float]:
        """The amounts in units, sorted by name: what Ray's API takes and a person reads."""
        return {name: amount(value) for name, value in sorted(self.resources.items())}


@attrs.frozen
class Host:
    """One Ray node (a machine) as the planner sees it.

    `total` and `available` map resource names to fixed-point amounts. `name` is what a person calls
    the host (its host name or IP); `node_id` is Ray's hex id. `gpus` is the free amount of each
    single GPU where somebody knows it; Ray itself reports only their sum. `address` is the IP by
    which other hosts reach it, "" where that is not known or says nothing (simulated hosts).
    """

    node_id: str
    name: str
    total: FrozenMap = attrs.field(converter=_resources)
    available: FrozenMap = attrs.field(converter=_resources)
    labels: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    alive: bool = True
    gpus: tuple[int, ...] | None = None
    address: str = ""

    def free(self, resource: str) -> int:
        """The free amount of a resource, fixed point; 0 for a dead host."""
        return int(self.available.get(resource, 0)) if self.alive else 0

    def freed(self, bundles: Iterable[Bundle]) -> Host:
        """The host when what these bundles hold is free again, never more than its total."""
        bundles = tuple(bundles)
        if not bundles:
            return self
        names = {name for bundle in bundles for name in bundle.resources}
        more = {
            name: min(
                int(self.total.get(name, 0)),
                int(self.available.get(name, 0)) + total_of(bundles, name),
            )
            for name in names
        }
        return attrs.evolve(self, available=self.available.update(more), gpus=None)


def names(hosts: Iterable[Host]) -> dict[str, str]:
    """What to call each host in a message, by node id: its name, and its id where names repeat."""
    hosts = tuple(hosts)
    seen = Counter(host.name for host in hosts)
    return {
        host.node_id: host.name if seen[host.name] == 1 else f"{host.name}/{host.node_id[:8]}"
        for host in hosts
    }


@attrs.frozen
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


def _by_node_id(hosts: Iterable[Host]) -> tuple[Host, ...]:
    return tuple(sorted(hosts, key=lambda host: host.node_id))


@attrs.frozen
class ClusterSnapshot:
    """Hosts and live groups of a cluster at one moment. `hosts` is sorted by node id."""

    hosts: tuple[Host, ...] = attrs.field(converter=_by_node_id)
    groups: tuple[Group, ...] = ()

    def host(self, node_id: str) -> Host | None:
        """The host with this id, or `None`."""
        return next((host for host in self.hosts if host.node_id == node_id), None)

    @property
    def alive(self) -> tuple[Host, ...]:
        """The hosts that are alive."""
        return tuple(host for host in self.hosts if host.alive)

    def emptied(self) -> ClusterSnapshot:
        """The same hosts as if nothing ran on them: all that they have is free."""
        return ClusterSnapshot(
            tuple(attrs.evolve(host, available=host.total, gpus=None) for host in self.hosts)
        )

    def without(self, group: Group) -> ClusterSnapshot:
        """The cluster as it will be when a group is gone: what it held is free."""
        freed: dict[str, list[Bundle]] = {}
        for bundle, node_id in zip(group.bundles, group.assigned, strict=False):
            if node_id is not None:
                freed.setdefault(node_id, []).append(bundle)
        hosts = (host.freed(freed.get(host.node_id, ())) for host in self.hosts)
        return ClusterSnapshot(tuple(hosts), tuple(g for g in self.groups if g is not group))


class Pin(enum.StrEnum):
    """How much of a plan is dictated to Ray.

    `NODE`: every bundle goes to its host. Exact, and a group that loses a host cannot block others.
    `HOSTS`: every bundle goes to one of the plan's hosts (`in(a,b,…)`), which lets Ray move within
    them. `NONE`: Ray chooses; what it chose is only verified.
    """

    NODE = "node"
    HOSTS = "hosts"
    NONE = "none"


@attrs.frozen
class PlacementPlan:
    """Where bundles should go: `node_ids[i]` is the host of `bundles[i]`.

    Computed by `planner.plan`, dictated to Ray as far as `pin` says.
    """

    bundles: tuple[Bundle, ...]
    node_ids: tuple[str, ...]
    strategy: str = "PACK"
    pin: Pin = Pin.NODE

    @property
    def hosts(self) -> tuple[str, ...]:
        """The distinct hosts, in order of their first bundle: the first holds the engine."""
        return tuple(dict.fromkeys(self.node_ids))


@attrs.frozen
class PlacedBundle:
    """One bundle and the host where Ray put it. `resources` are amounts in units.

    `gpu_ids` are the GPUs that a process in the bundle sees, where one was asked (a probe);
    otherwise `None`.
    """

    index: int
    node_id: str
    resources: FrozenMap = attrs.field(converter=freeze_map)
    gpu_ids: tuple[str, ...] | None = None


@attrs.frozen
class Placement:
    """Where Ray really put the bundles, as read back from Ray.

    `adopted` is true for a group that nodeinit did not create and therefore never removes.
    """

    group_id: str
    name: str
    strategy: str
    state: str
    bundles: tuple[PlacedBundle, ...]
    adopted: bool = False

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The host of each bundle, by index."""
        return tuple(bundle.node_id for bundle in self.bundles)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The distinct hosts, in order of their first bundle."""
        return tuple(dict.fromkeys(self.node_ids))


def total_of(bundles: Iterable[Bundle], resource: str) -> int:
    """The sum of one resource over bundles, fixed point."""
    return sum(int(bundle.resources.get(resource, 0)) for bundle in bundles)
