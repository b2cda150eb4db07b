"""Which requirement no host meets, by how much, and who has what is missing.

The requirements are looked at in a fixed order, and the first that leaves no host is the reason:
a living host, its topology label, its labels, its accelerator, each resource, all of them at once,
and at last all units together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import attrs

from nodeinit.frozen import EMPTY, FrozenMap, freeze_map
from nodeinit.placement import labels
from nodeinit.placement.alternatives import accelerators
from nodeinit.placement.amounts import UNIT, amount
from nodeinit.placement.demand import Unit, demand_of, spans
from nodeinit.placement.hosts import Host, names, total_of
from nodeinit.placement.packing import times
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.shelves import SEAT, Row, Term, shelves_of
from nodeinit.placement.topology import ClusterSnapshot


@attrs.frozen
class Excluded:
    """The hosts, by name, that cannot be used, and what about them rules them out."""

    constraint: str
    hosts: tuple[str, ...]


@attrs.frozen
class Diagnosis:
    """Why there is no plan, the hosts that cannot be used, and the amounts that lack (units).

    `binding` is the first requirement that leaves no host: `alive`, `topology`, `labels`,
    `accelerator_type`, the name of a resource, `one host` (no host has all of it), or `together`.
    """

    reason: str
    binding: str
    constraints: tuple[Excluded, ...] = ()
    shortfall: FrozenMap = EMPTY


def diagnose(request: PlacementRequest, snapshot: ClusterSnapshot, *, temporary: bool) -> Diagnosis:
    """Why a request does not fit: what is not free (`temporary`), or what the hosts do not have."""
    if not snapshot.alive:
        dead = tuple(names(snapshot.hosts).values())
        excluded = (Excluded("not alive", dead),) if dead else ()
        return Diagnosis("the cluster has no living host", "alive", excluded)
    return _Examination(request, snapshot, temporary).result()


class _Examination:
    """Goes through the requirements of one request on the hosts as they are, or as if empty."""

    def __init__(
        self, request: PlacementRequest, snapshot: ClusterSnapshot, temporary: bool
    ) -> None:
        self.request, self.snapshot, self.temporary = request, snapshot, temporary
        self.demand = demand_of(request, spans(request)[0])
        seen = snapshot if temporary else snapshot.emptied()
        self.view = self.demand.view(hopeful=seen.uncertain)
        self.hosts = seen.alive
        self.names = names(snapshot.hosts)
        # Those of hosts that no bundle may be on are not there; hardly anybody asks for them.
        self.rooms = shelves_of(seen, self.view).rooms()
        self.excluded: list[Excluded] = []

    def result(self) -> Diagnosis:
        for unit in dict.fromkeys(attrs.evolve(u, bundles=()) for u in self.demand.units):
            self.excluded = []
            self._exclude("not alive", tuple(h for h in self.snapshot.hosts if not h.alive))
            found = self._domain() or self._alone(unit)
            if found is not None:
                break
        else:
            found = self._together()
        spans_too = len(spans(self.request)) > 1
        more = "; no equal split over hosts fits either" if spans_too else ""
        return attrs.evolve(found, reason=found.reason + more, constraints=tuple(self.excluded))

    def _domain(self) -> Diagnosis | None:
        """Why no host lies in any domain, if so; from here on the others do not count."""
        label = self.request.topology
        if label is None:
            return None
        self.hosts, left_out = _split(self.hosts, lambda host: label in host.labels)
        self._exclude(f"no label {label}", left_out)
        if self.hosts:
            return None
        return Diagnosis(f"needs hosts with the label {label}; no host has it", "topology")

    def _alone(self, unit: Unit) -> Diagnosis | None:
        """Why a single unit fits no host, if so."""
        hosts = self.hosts
        for term in sorted(unit.terms, key=Term.sort_key):
            wanted = labels.describe(term.labels)
            hosts, left_out = _split(hosts, term.has_labels)
            self._exclude(f"no label {wanted}", left_out)
            if not hosts:
                reason = f"needs a host with {wanted}; {_no_labels(term.labels, left_out)}"
                return Diagnosis(reason, "labels")
            hosts, left_out = _split(hosts, term.has_accelerator)
            self._exclude(f"no accelerator_type {term.accelerator_type}", left_out)
            if not hosts:
                have = sorted({kind for host in left_out for kind in accelerators(host)})
                found = f"the hosts have {', '.join(have)}" if have else "no host has a known one"
                reason = f"needs accelerator_type {term.accelerator_type}; {found}"
                return Diagnosis(reason, "accelerator_type")
        return self._resources(unit, hosts)

    def _resources(self, unit: Unit, hosts: tuple[Host, ...]) -> Diagnosis | None:
        needs = [(i, need) for i, need in enumerate(unit.needs) if need]
        for i, need in needs:
            enough, lacking = _split(hosts, partial(self._has, i, need))
            self._exclude(f"less than {self._show(i, need)}{self._free}", lacking)
            if not enough:
                return self._too_small(unit, i, hosts)
        if any(all(self._has(i, need, host) for i, need in needs) for host in hosts):
            return None
        wanted = f"needs {self._all_of(unit)} on one host{self._why(unit)}"
        return Diagnosis(f"{wanted}; no host has all of it", "one host")

    def _room(self, host: Host) -> Row:
        return self.rooms.get(host.node_id) or self.view.room(host)

    def _has(self, column: int, need: int, host: Host) -> bool:
        return self._room(host)[column] >= need

    def _too_small(self, unit: Unit, column: int, hosts: tuple[Host, ...]) -> Diagnosis:
        """A unit needs more of one resource than any host has."""
        need = unit.needs[column]
        best = max(hosts, key=lambda host: self._room(host)[column])
        have = self._room(best)[column]
        name = self.demand.columns[column]
        needs = f"needs {self._show(column, need)} on one host{self._why(unit)}"
        size = "largest free host" if self.temporary else "largest host"
        if have:
            found = (
                f"the {size} has {self._show(column, have, short=True)} ({self._who(best, name)})"
            )
        elif any(host.total.get(name) for host in hosts):
            found = f"no host has any {name}{self._free} ({self._who(best, name)})"
        else:
            found = f"no host has any {name}"
        lacking = self._shortfall({column: need - have})
        return Diagnosis(f"{needs}; {found}", name, shortfall=lacking)

    def _together(self) -> Diagnosis:
        """Every unit fits some host: there is no room for all of them at once."""
        for unit in sorted(self.demand.units, key=lambda unit: unit.needs):
            wanted = sum(_at_least(other, unit) for other in self.demand.units)
            fits = {h.node_id: count for h in self.hosts if (count := self._count(h, unit))}
            if (have := sum(fits.values())) < wanted:
                shown = [*fits.items()][:4]
                where = ", ".join(f"{self.names[node_id]}: {count}" for node_id, count in shown)
                more = ", …" if len(fits) > 4 else ""
                needs = self._all_of(unit)
                missing = {i: need * (wanted - have) for i, need in enumerate(unit.needs) if need}
                apart = self.demand.columns[-1] == SEAT
                what = f"{wanted} hosts with {needs}" if apart else f"{wanted} times {needs}"
                return Diagnosis(
                    f"needs {what}{self._free}{self._why(unit)}; "
                    f"there is room for {have} ({where}{more})",
                    "together",
                    shortfall=self._shortfall(missing),
                )
        if self.request.topology is not None:
            return self._too_far_apart(self.request.topology)
        reason = "every bundle fits some host, but not all of them together"
        return Diagnosis(reason, "together")

    def _too_far_apart(self, label: str) -> Diagnosis:
        """There is room for all units, but not for all of them in one domain."""
        unit = max(self.demand.units, key=lambda unit: unit.needs)
        wanted = sum(_at_least(other, unit) for other in self.demand.units)
        room: Counter[str] = Counter()
        for host in self.hosts:
            room[str(host.labels[label])] += self._count(host, unit)
        shown = ", ".join(f"{value}: {count}" for value, count in room.most_common(4))
        more = ", …" if len(room) > 4 else ""
        return Diagnosis(
            f"needs {wanted} times {self._all_of(unit)}{self._free} on hosts with the same {label}"
            f"{self._why(unit)}; there is room for {max(room.values())} ({shown}{more})",
            "topology",
        )

    def _count(self, host: Host, unit: Unit) -> int:
        if not all(term.admits(host) for term in unit.terms):
            return 0
        return times(self._room(host), unit.needs)

    @property
    def _free(self) -> str:
        return " free" if self.temporary else ""

    def _all_of(self, unit: Unit) -> str:
        named = zip(self.demand.columns, enumerate(unit.needs), strict=True)
        return " and ".join(self._show(*need) for name, need in named if need[1] and name != SEAT)

    def _why(self, unit: Unit) -> str:
        request = self.request
        if request.strategy == "STRICT_PACK":
            return " (STRICT_PACK)"
        several = request.tensor_parallel_size > 1 and unit.needs[0] > 1
        return f" (tensor_parallel_size={request.tensor_parallel_size})" if several else ""

    def _who(self, host: Host, resource: str) -> str:
        """A host with who takes how much of a resource there: "node-3, 2 taken by group 'a'"."""
        if not self.temporary:
            return self.names[host.node_id]
        return ", ".join((self.names[host.node_id], *_takers(host, resource, self.snapshot)))

    def _show(self, column: int, count: int, *, short: bool = False) -> str:
        """A need in units, as a person says it."""
        name = self.demand.columns[column]
        if name == "GPU":
            if self.demand.share != UNIT:
                return f"{f'{count} x ' if count > 1 else ''}{amount(self.demand.share)} GPU"
            return str(count) if short else f"{count} GPU{'s' if count > 1 else ''}"
        if name == "memory":
            return f"{amount(count) / 2**30:.3g} GiB of memory"
        units = amount(count)
        return str(units) if short else f"{units} {name}"

    def _shortfall(self, missing: dict[int, int]) -> FrozenMap:
        amounts: dict[str, float] = {}
        for column, count in missing.items():
            name = self.demand.columns[column]
            if name != SEAT:
                amounts[name] = amount(count * (self.demand.share if name == "GPU" else 1))
        return freeze_map(amounts)

    def _exclude(self, constraint: str, hosts: tuple[Host, ...]) -> None:
        if hosts:
            left_out = tuple(self.names[host.node_id] for host in hosts)
            self.excluded.append(Excluded(constraint, left_out))


def _split(
    hosts: Iterable[Host], good: Callable[[Host], bool]
) -> tuple[tuple[Host, ...], tuple[Host, ...]]:
    hosts = tuple(hosts)
    return tuple(h for h in hosts if good(h)), tuple(h for h in hosts if not good(h))


def _at_least(unit: Unit, other: Unit) -> bool:
    """Whether wherever `unit` fits, `other` would too."""
    enough = all(have >= need for have, need in zip(unit.needs, other.needs, strict=True))
    return enough and other.terms <= unit.terms


def _no_labels(selector: FrozenMap, hosts: Iterable[Host]) -> str:
    """What the hosts have instead of the labels that are asked for."""
    found = {
        key: sorted({host.labels[key] for host in hosts if key in host.labels}) for key in selector
    }
    have = "; ".join(f"{key}: {', '.join(values[:4])}" for key, values in found.items() if values)
    return f"the hosts have {have}" if have else "no host has such a label"


def _takers(host: Host, resource: str, snapshot: ClusterSnapshot) -> Iterator[str]:
    """Who takes how much of a resource on a host: groups by name, then all the rest."""
    taken = int(host.total.get(resource, 0)) - host.free(resource)
    for group in snapshot.groups:
        if host.node_id not in group.assigned:
            continue
        if held := total_of(group.on(host.node_id), resource):
            yield f"{amount(held)} taken by group {group.name or group.group_id!r}"
            taken -= held
    if taken > 0:
        yield f"{amount(taken)} taken by others"
