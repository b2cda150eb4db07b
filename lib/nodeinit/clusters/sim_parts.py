"""What a simulated cluster is made of: hosts, groups, a model, and what can go wrong."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Iterable, Mapping

import attrs

from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.frozen import FrozenMap
from nodeinit.placement.topology import (
    Bundle,
    ClusterSnapshot,
    Group,
    Host,
    PlacedBundle,
    Placement,
    fixed,
)


@attrs.frozen
class SimFault:
    """What goes wrong in the `call`-th call (0 for the first) of an operation.

    `op` is a method of the cluster (`snapshot`, `manifest`, `fetch`, `reserve`, `probe`, `observe`,
    `remove`, `stop_fetch`). `kind` is `temporary`, `permanent` or `crash` (raise), `hang` (until
    cancelled), `slow` (take `seconds` longer), `kill` (the host `node_id` dies during the call),
    `steal` (somebody takes all that is free on `node_id`), or `lie` (the call claims success without
    it).
    """

    op: str
    kind: str
    call: int = 0
    node_id: str | None = None
    seconds: float = 30.0

    async def go_wrong(self) -> None:
        """Raise, hang or take long, where that is the fault: what needs no cluster to happen."""
        match self.kind:
            case "temporary":
                raise TemporaryError(f"{self.op} failed for the moment")
            case "permanent":
                raise PermanentError(f"{self.op} failed for good")
            case "crash":
                raise RuntimeError(f"{self.op} crashed")
            case "hang":
                await asyncio.get_running_loop().create_future()
            case "slow":
                await asyncio.sleep(self.seconds)


@attrs.define(eq=False)
class SimGroup:
    """A group; also the handle that a callback may put into `ctx.placement_group`.

    `state`, `reason` (of its not being created) and `tries` are as in Ray's table. `node_ids` are
    the hosts of its bundles, `""` for one that has none (any more); `selectors` what else a bundle
    demands of its host.
    """

    id: str
    name: str
    strategy: str
    bundles: tuple[Bundle, ...]
    node_ids: tuple[str, ...]
    ours: bool
    state: str = "CREATED"
    selectors: tuple[FrozenMap, ...] = ()
    reason: str = "FINISHED"
    tries: int = 0


@attrs.define(eq=False)
class SimHost:
    """A host and what has become of it; `published` are the (revision, file) that it has."""

    host: Host
    alive: bool = True
    published: set[tuple[str, str]] = attrs.field(factory=set)


def sim_host(node_id: str, *, labels: Mapping[str, str] | None = None, **resources: float) -> Host:
    """A host with everything free: `sim_host("a", GPU=8, CPU=64)`."""
    amounts = {name: fixed(value) for name, value in resources.items()}
    return Host(node_id, f"host-{node_id}", amounts, amounts, labels or {})


# Thousands of runs see the same few clusters: what is derived of one is derived once.


@functools.lru_cache(maxsize=4096)
def seen(host: Host, held: tuple[Bundle, ...], alive: bool) -> Host:
    """A host, of which all is free, with these bundles on it."""
    free = dict(host.total)
    for bundle in held:
        for resource, value in bundle.resources.items():
            free[resource] = free.get(resource, 0) - value
    return attrs.evolve(host, available=free, alive=alive)


@functools.lru_cache(maxsize=4096)
def snapshot_of(hosts: tuple[Host, ...], groups: tuple[Group, ...]) -> ClusterSnapshot:
    """The snapshot of these; equal ones are the same object."""
    return ClusterSnapshot(hosts, groups)


def view_of(
    hosts: Iterable[Host],
    groups: Collection[SimGroup],
    unseen: Iterable[SimGroup],
    dead: Collection[str],
) -> ClusterSnapshot:
    """What Ray believes of hosts with these groups on them; `unseen` ones hold, but are not told."""
    holding = [*groups, *unseen]
    found = []
    for host in hosts:
        held = tuple(
            bundle
            for group in holding
            for bundle, at in zip(group.bundles, group.node_ids, strict=True)
            if at == host.node_id
        )
        found.append(seen(host, held, host.node_id not in dead))
    told = (Group(g.id, g.name, g.state, g.bundles, g.strategy, _assigned(g)) for g in groups)
    return snapshot_of(tuple(found), tuple(told))


def placement_of(group: SimGroup, *, adopted: bool) -> Placement:
    """Where a group stands that has its place."""
    places = enumerate(zip(group.bundles, group.node_ids, strict=True))
    bundles = tuple(PlacedBundle(i, node_id, bundle.units()) for i, (bundle, node_id) in places)
    return Placement(group.id, group.name, group.strategy, group.state, bundles, adopted)


def _assigned(group: SimGroup) -> tuple[str | None, ...]:
    """The host of each bundle, as Ray's table has it."""
    return group.node_ids if all(group.node_ids) else tuple(at or None for at in group.node_ids)


SIM_MANIFEST = Manifest(
    "sim/model",
    "sim",
    (
        ManifestFile("config.json", 1_000, "0" * 64),
        ManifestFile("model-00001-of-00002.safetensors", 4_000_000, "1" * 64),
        ManifestFile("model-00002-of-00002.safetensors", 3_000_000, "2" * 64),
        ManifestFile("tokenizer.json", 2_000, "3" * 64),
    ),
)
