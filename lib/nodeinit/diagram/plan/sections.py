"""Which hosts are drawn beside each other, and which of them in full when there are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from nodeinit.diagram.plan.cells import Cells, count, device
from nodeinit.diagram.plan.words import natural, several
from nodeinit.placement.labels import ACCELERATOR_TYPE
from nodeinit.placement.planned import Planned
from nodeinit.placement.topology import Host, names

FULL = 64
"""So many hosts with something planned on them are drawn with names and labels."""

IDLE = 24
"""Hosts without are drawn in full too, as long as there are no more than this in full."""

SMALL = 1024
"""So many more are drawn small, without a word. What is beyond is only counted."""

_RESOURCE = "accelerator_type:"
_TELLING = ("ray.io/availability-zone", "ray.io/availability-region", "ray.io/node-group")
_MOST_SECTIONS = 12


@attrs.frozen
class Section:
    """Hosts that have something in common, each list in the order of their names."""

    heading: str
    full: tuple[Host, ...]
    small: tuple[Host, ...]
    left_out: tuple[Host, ...]


def sections(planned: Planned, cells: Cells) -> tuple[Section, ...]:
    """The hosts by kind of accelerator, or by the first label that tells them apart, or together."""
    hosts = planned.snapshot.hosts
    called = names(hosts)
    size = _sizes(hosts, cells)
    by_name = sorted(hosts, key=lambda host: (natural(called[host.node_id]), host.node_id))
    kind = _kind(planned, hosts)
    groups: dict[str, list[Host]] = {}
    for host in by_name:
        groups.setdefault(kind(host), []).append(host)
    found = []
    for name, members in sorted(groups.items(), key=lambda item: _order(item[0], item[1], cells)):
        drawn = [tuple(h for h in members if size[h.node_id] == n) for n in range(3)]
        found.append(Section(_heading(name, members, len(groups) > 1), *drawn))
    return tuple(found)


def _sizes(hosts: Iterable[Host], cells: Cells) -> dict[str, int]:
    """0 for the hosts that are drawn in full, 1 for small, 2 for not at all, by node id."""
    used = [host for host in hosts if cells.used(host)]
    idle = sorted((host for host in hosts if not cells.used(host)), key=lambda host: host.alive)
    first = len(used[:FULL]) + max(0, min(len(idle), IDLE - len(used)))
    ranked = [*used[:FULL], *idle[: first - len(used[:FULL])]]
    ranked += [*used[FULL:], *idle[first - len(used[:FULL]) :]]
    return {h.node_id: (i >= first) + (i >= first + SMALL) for i, h in enumerate(ranked)}


def _order(name: str, members: Iterable[Host], cells: Cells) -> tuple[Any, ...]:
    """What has something planned comes first, what has nothing in common last."""
    return not any(map(cells.used, members)), not name, natural(name)


def accelerator(host: Host) -> str:
    """The accelerator type of a host, "" where it has none or does not say."""
    label = host.labels.get(ACCELERATOR_TYPE)
    resources = (name for name in sorted(host.total) if name.startswith(_RESOURCE))
    return str(label or next(resources, "").removeprefix(_RESOURCE))


def _kind(planned: Planned, hosts: Iterable[Host]) -> Callable[[Host], str]:
    """What hosts are grouped by: a function of a host, "" for those without."""
    if len({accelerator(host) for host in hosts}) > 1:
        return accelerator
    asked = (key for _, r, _ in planned.placed for b in r.request.bundles for key in b.labels)
    for key in dict.fromkeys([*asked, *_TELLING]):
        values = {host.labels.get(key) for host in hosts}
        if 1 < len(values) <= _MOST_SECTIONS:
            return lambda host: f"{key}={host.labels[key]}" if key in host.labels else ""
    return accelerator


def _heading(name: str, members: list[Host], several_groups: bool) -> str:
    devices: dict[str, int] = {}
    for host in members:
        if count(host):
            devices[device(host)] = devices.get(device(host), 0) + count(host)
    what = name or ("other hosts" if several_groups else "")
    sizes = [several(len(members), "host"), *(several(n, kind) for kind, n in devices.items())]
    return " · ".join([*([what] if what else []), ", ".join(sizes)])
