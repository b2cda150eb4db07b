"""Which single GPUs of a host are free, although Ray reports only their sum.

The sum decides nothing: a bundle of 0.6 GPU needs 0.6 of *one* GPU, and a free sum of 1.0 may be
two halves. Ray's scheduler looks at the sum and its hosts at the single GPUs, so that a request
which the one accepts can hang for ever at the other (ray#52133, ray#54729).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeinit.placement.topology import UNIT, Group, Host


def slices_by_host(groups: Iterable[Group]) -> dict[str, list[int]]:
    """The fractions of a GPU (fixed point) that live groups hold, by node id."""
    slices: dict[str, list[int]] = {}
    for group in groups:
        for bundle, node_id in zip(group.bundles, group.assigned, strict=False):
            if node_id is not None and 0 < bundle.gpu < UNIT:
                slices.setdefault(node_id, []).append(bundle.gpu)
    return slices


def certain(host: Host, slices: Mapping[str, list[int]]) -> tuple[int, ...]:
    """The free amounts of single GPUs that one can count on, fixed point.

    Known amounts as they are. Otherwise the slices that groups hold are put onto GPUs as a Ray host
    does it, what else is taken is taken to be whole GPUs, and a remainder that nobody explains is
    not counted: it may be spread over several GPUs.
    """
    if host.gpus is not None or not host.alive:
        return possible(host)
    held = slices.get(host.node_id, [])
    opened = _best_fit(held)
    taken = int(host.total.get("GPU", 0)) - host.free("GPU") - sum(held)
    left = int(host.total.get("GPU", 0)) // UNIT - -(-taken // UNIT) - len(opened)
    whole = max(0, min(left, host.free("GPU") // UNIT))
    # Where the slices open more GPUs than there are, they lie otherwise than this.
    explained = taken >= 0 and taken % UNIT == 0 and left >= 0
    return (UNIT,) * whole + (tuple(rest for rest in opened if rest) if explained else ())


def possible(host: Host) -> tuple[int, ...]:
    """The free amounts of single GPUs at best: whole ones as far as the sum goes, then the rest."""
    if not host.alive:
        return ()
    if host.gpus is not None:
        return host.gpus
    whole, rest = divmod(max(0, host.free("GPU")), UNIT)
    return (UNIT,) * whole + ((rest,) if rest else ())


def slots(free: Iterable[int], share: int) -> int:
    """How many bundles of `share` GPU (fixed point) fit, each on a single GPU."""
    return sum(amount // share for amount in free)


def _best_fit(slices: Iterable[int]) -> list[int]:
    """What is left of the GPUs that slices opened, each slice put where the least remains."""
    left: list[int] = []
    for piece in slices:
        fitting = [i for i, rest in enumerate(left) if rest >= piece]
        if fitting:
            left[min(fitting, key=left.__getitem__)] -= piece
        else:
            left.append(UNIT - piece)
    return left
