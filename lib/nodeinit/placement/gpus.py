"""Which single GPUs of a host are free, although Ray reports only their sum.

The sum decides nothing: a bundle of 0.6 GPU needs 0.6 of *one* GPU, and a free sum of 1.0 may be
two halves. Ray's scheduler looks at the sum and its hosts at the single GPUs, so that a request
which the one accepts can hang for ever at the other (ray#52133, ray#54729).

Where the groups of a host leave only one way in which its GPUs can be cut, the GPUs are known.
Otherwise there is a number of bundles that one can count on, and one that is possible at best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from nodeinit.placement.amounts import UNIT
from nodeinit.placement.hosts import Bundle, Group, Host, total_of


def slices_by_host(groups: Iterable[Group]) -> dict[str, tuple[int, ...]]:
    """The fractions of a GPU (fixed point) that live groups hold, by node id."""
    slices: dict[str, tuple[int, ...]] = {}
    for group in groups:
        for bundle, node_id in zip(group.bundles, group.assigned, strict=False):
            if node_id is not None and 0 < bundle.gpu < UNIT:
                slices[node_id] = (*slices.get(node_id, ()), bundle.gpu)
    return slices


def explained(hosts: Sequence[Host], groups: Iterable[Group]) -> Sequence[Host]:
    """The hosts with what the groups tell about their GPUs; those that know theirs as they are."""
    slices = slices_by_host(groups)
    if not slices:
        return hosts
    return [
        _explained(host, slices[host.node_id])
        if host.gpus is None and host.node_id in slices
        else host
        for host in hosts
    ]


def _explained(host: Host, slices: tuple[int, ...]) -> Host:
    slices = tuple(sorted(slices))
    known = cut(host, slices)
    return attrs.evolve(host, gpus=known, slices=() if known is not None else slices)


def cut(host: Host, slices: Sequence[int]) -> tuple[int, ...] | None:
    """The free amounts of single GPUs, fixed point, if these slices leave no doubt about them.

    They do not while no two of them fit on one GPU and all else that is taken are whole GPUs.
    """
    total = int(host.total.get("GPU", 0))
    taken = total - host.free("GPU") - sum(slices)
    alone = len(slices) < 2 or sum(sorted(slices)[:2]) > UNIT
    whole = (total - taken) // UNIT - len(slices)
    if not host.alive or not alone or taken < 0 or taken % UNIT or total % UNIT or whole < 0:
        return None
    return (0,) * (taken // UNIT) + tuple(UNIT - piece for piece in slices) + (UNIT,) * whole


def freed(host: Host, bundles: Sequence[Bundle], groups: Iterable[Group]) -> Host:
    """The host when what these bundles hold is free again, never more than its total.

    `groups` are the ones that stay.
    """
    held = {name for bundle in bundles for name in bundle.resources}
    more = {
        name: min(
            int(host.total.get(name, 0)),
            int(host.available.get(name, 0)) + total_of(bundles, name),
        )
        for name in held
    }
    slices = slices_by_host(groups).get(host.node_id, ())
    bare = attrs.evolve(host, available=host.available.update(more), gpus=None, slices=())
    return _explained(bare, slices) if slices else bare


def taken(host: Host, bundles: Sequence[Bundle]) -> Host:
    """The host when these bundles are on it, their GPUs cut as Ray's hosts do it."""
    held = {name for bundle in bundles for name in bundle.resources}
    left = {name: host.free(name) - total_of(bundles, name) for name in held}
    shares = [bundle.gpu for bundle in bundles if bundle.gpu]
    slices = tuple(sorted((*host.slices, *(share for share in shares if share < UNIT))))
    after = attrs.evolve(host, available=host.available.update(left))
    if host.gpus is not None:
        return attrs.evolve(after, gpus=cut_off(host.gpus, shares))
    if len(slices) == len(host.slices):
        return after  # whole ones: which of them makes no difference
    if not host.uncertain:
        whole = (UNIT,) * (host.free("GPU") // UNIT)
        return attrs.evolve(after, gpus=cut_off(whole, shares))
    return attrs.evolve(after, slices=slices)


def cut_off(free: Iterable[int], shares: Iterable[int]) -> tuple[int, ...]:
    """What is left of single GPUs: each share is cut where the least remains, as Ray does it."""
    left = list(free)
    for share in shares:
        fitting = [i for i, rest in enumerate(left) if 0 < share <= rest]
        if fitting:
            left[min(fitting, key=left.__getitem__)] -= share
    return tuple(left)


def certain(host: Host, share: int) -> int:
    """How many bundles of `share` GPU (fixed point) fit, each on a single GPU, for certain.

    None on a dead host.
    """
    free = max(0, host.free("GPU"))
    if host.gpus is not None:
        # Ray goes by the sum first, and rounds it down.
        return min(slots(host.gpus, share), free // share)
    if not host.uncertain:
        return free // UNIT * (UNIT // share)
    # Wherever a slice lies, it costs no more bundles than it could touch. What nobody explains
    # counts as whole GPUs.
    total = int(host.total.get("GPU", 0))
    others = -(-(total - free - sum(host.slices)) // UNIT)
    lost = sum(-(-piece // share) for piece in host.slices)
    return max(0, min((total // UNIT - others) * (UNIT // share) - lost, free // share))


def possible(host: Host, share: int) -> int:
    """How many of them fit at best, wherever the slices lie that nobody can locate."""
    if not host.uncertain:
        return certain(host, share)
    most = int(host.total.get("GPU", 0)) // UNIT * (UNIT // share)
    return min(most, max(0, host.free("GPU")) // share)


def slots(free: Iterable[int], share: int) -> int:
    """How many bundles of `share` GPU fit on GPUs with this much free."""
    return sum(rest // share for rest in free)
