"""Where bundles should go, and where Ray really put them."""

from __future__ import annotations

import enum

import attrs

from nodeinit.frozen import FrozenMap, freeze_map
from nodeinit.placement.hosts import Bundle
from nodeinit.placement.labels import NODE_ID


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

    @property
    def selectors(self) -> tuple[FrozenMap, ...]:
        """The label selector of each bundle: its own, and the hosts that it is pinned to."""
        own = tuple(bundle.labels for bundle in self.bundles)
        match self.pin:
            case Pin.NODE:
                pinned = zip(own, self.node_ids, strict=True)
                return tuple(labels.set(NODE_ID, node_id) for labels, node_id in pinned)
            case Pin.HOSTS:
                return tuple(labels.set(NODE_ID, f"in({','.join(self.hosts)})") for labels in own)
            case Pin.NONE:
                return own


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
