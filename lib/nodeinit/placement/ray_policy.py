"""What Ray 2.60 alone does with a placement group: a model of it, for explanations and for tests.

nodeinit dictates hosts to Ray and predicts nothing; the model says what one would get without it.
The GCS chooses a host for every bundle by the sums of what is free (`ray_choice`), visiting the
bundles in an order of its own (`ray_order`). Then each host reserves its bundles, by index and on
single GPUs; if one cannot, the whole try has failed, and there will be another in a second.

Equally good hosts are taken in the order of a hash table, another one at each try. Here a `TieRule`
decides. Not modelled: `topology_strategy`, and an object store under pressure.

Source: ray `src/ray/gcs/gcs_placement_group_scheduler.cc`,
`src/ray/common/scheduling/resource_instance_set.cc` and what the two other modules name.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence

import attrs

from nodeinit.placement import gpus, labels
from nodeinit.placement.ray_choice import Ask, Kind, Row, TieRule, choose, fits
from nodeinit.placement.ray_order import visiting_order
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host, total_of


class Verdict(enum.StrEnum):
    """How a try to place a group ends.

    `INFEASIBLE`: some bundle would not fit any host even if that were empty, or a STRICT_SPREAD has
    more bundles than there are hosts; Ray waits for new hosts. `NO_RESOURCES`: there is no room, or
    none that Ray finds; it tries again every second.
    """

    CREATED = "CREATED"
    INFEASIBLE = "INFEASIBLE"
    NO_RESOURCES = "NO_RESOURCES"


@attrs.frozen
class Outcome:
    """How a try ends, and if the group is created, the node id of each bundle, by index."""

    verdict: Verdict
    node_ids: tuple[str, ...] = ()


def by_node_id(bundle: int, tied: Sequence[str]) -> str:
    """The tie rule of a model that answers the same each time."""
    return tied[0]


class RayPolicy:
    """One group on one cluster: `run` is one try, `outcomes` are those that ties can lead to.

    Only hosts that are alive take part; one without GPUs, such as the head, is a host too. The
    amounts of single GPUs are those of `Host.gpus`. Where these are not known, they are rebuilt from
    the groups on the host, or else taken to be whole GPUs and a rest.
    """

    def __init__(self, bundles: Sequence[Bundle], strategy: str, snapshot: ClusterSnapshot) -> None:
        self._bundles, self._strategy = tuple(bundles), strategy
        different = tuple(dict.fromkeys(self._bundles))
        self._columns = sorted({name for bundle in different for name in bundle.resources})
        if strategy == "STRICT_PACK":
            self._asks = [(0, self._ask(self._bundles))]
        else:
            asks = {bundle: self._ask((bundle,)) for bundle in different}
            self._asks = [(i, asks[self._bundles[i]]) for i in visiting_order(self._bundles)]
        self._feasible = self._is_feasible(snapshot.alive)
        self._kinds = self._by_kind(snapshot)
        self._kind_of = {node_id: kind for kind in self._kinds for node_id in kind.node_ids}

    def run(self, tie: TieRule = by_node_id) -> Outcome:
        """One try of Ray, the first one, with ties resolved by a rule."""
        return self._try(self._kinds, tie)[0]

    def persist(self, tie: TieRule = by_node_id) -> Outcome:
        """What the tries come to in the end, as long as nobody else does anything.

        A host that refuses its first bundle has changed nothing and therefore reports nothing, while
        the GCS goes on believing that what it chose there is taken. So it tries elsewhere next.
        """
        kinds = self._kinds
        while True:
            outcome, mistaken = self._try(kinds, tie)
            if not mistaken:
                return outcome
            kinds = [each for kind in kinds for each in _believed(kind, mistaken)]

    def outcomes(self, *, persist: bool = False) -> Iterator[Outcome]:
        """What the ways to resolve ties lead to, the one by node id first and then what is near it.

        In one try, or in the end. Of hosts that are alike and have had no bundle yet only the first
        is looked at; the others lead to the same under other names. There can be very many all the
        same: take as few as will do.
        """
        follow = self.persist if persist else self.run
        waiting: list[tuple[str, ...]] = [()]
        for prefix in waiting:
            way = _Way(prefix, self._kind_of)
            yield follow(way)
            for i in range(len(prefix), len(way.taken)):
                waiting += [(*way.taken[:i], other) for other in way.others[i]]

    def reaches(self, node_ids: Sequence[str]) -> bool:
        """Whether some way to resolve ties puts every bundle on the host given for it, in one try."""

        def wanted(bundle: int, tied: Sequence[str]) -> str:
            return node_ids[bundle] if node_ids[bundle] in tied else tied[0]

        return self.run(wanted).node_ids == tuple(node_ids)

    def _try(self, kinds: Sequence[Kind], tie: TieRule) -> tuple[Outcome, dict[str, Row]]:
        """How a try ends, and what the GCS wrongly believes to be taken after it, by node id."""
        if not self._feasible:
            return Outcome(Verdict.INFEASIBLE), {}
        found = choose(self._asks, self._strategy, kinds, tie)
        if len(found) < len(self._asks):
            return Outcome(Verdict.NO_RESOURCES), {}
        together = self._strategy == "STRICT_PACK"
        node_ids = tuple(found[0 if together else i] for i in range(len(self._bundles)))
        chosen: dict[str, list[Bundle]] = {}
        for bundle, node_id in zip(self._bundles, node_ids, strict=True):
            chosen.setdefault(node_id, []).append(bundle)
        reserved = {node_id: self._reserve(node_id, here) for node_id, here in chosen.items()}
        if all(reserved[node_id] == len(here) for node_id, here in chosen.items()):
            return Outcome(Verdict.CREATED, node_ids), {}
        silent = [node_id for node_id, count in reserved.items() if count == 0]
        return Outcome(Verdict.NO_RESOURCES), {
            node_id: self._ask(chosen[node_id]).needs for node_id in silent
        }

    def _ask(self, bundles: Sequence[Bundle]) -> Ask:
        needs = tuple(total_of(bundles, name) for name in self._columns)
        return Ask(needs, tuple(dict.fromkeys(bundle.labels for bundle in bundles)))

    def _is_feasible(self, alive: tuple[Host, ...]) -> bool:
        """Each ask by itself fits an empty host; Ray does not add up what all of them need."""
        if self._strategy == "STRICT_SPREAD" and len(self._asks) > len(alive):
            return False
        return all(
            any(fits(ask.needs, self._row(host.total)) and _admits(ask, host) for host in alive)
            for ask in dict.fromkeys(ask for _, ask in self._asks)
        )

    def _by_kind(self, snapshot: ClusterSnapshot) -> list[Kind]:
        asks = dict.fromkeys(ask for _, ask in self._asks)
        kinds: dict[object, Kind] = {}
        for host in snapshot.alive:
            free, single = self._row(host.available), _single_gpus(host)
            suits = frozenset(ask for ask in asks if _admits(ask, host))
            kind = kinds.setdefault((free, single, suits), Kind(free, single, suits, []))
            kind.node_ids.append(host.node_id)
        return list(kinds.values())

    def _row(self, amounts: Mapping[str, int]) -> Row:
        return tuple(amounts.get(name, 0) for name in self._columns)

    def _reserve(self, node_id: str, bundles: Sequence[Bundle]) -> int:
        """How many of its bundles, by index, a host can reserve on its single GPUs."""
        free = list(self._kind_of[node_id].gpus)
        return next(
            (n for n, bundle in enumerate(bundles) if not _take(free, bundle.gpu)), len(bundles)
        )


@attrs.define
class _Way:
    """A tie rule that takes the hosts of a list, then the first ones, and notes the `others`."""

    prefix: tuple[str, ...]
    kind_of: Mapping[str, Kind]
    taken: list[str] = attrs.field(factory=list)
    others: list[list[str]] = attrs.field(factory=list)

    def __call__(self, bundle: int, tied: Sequence[str]) -> str:
        """See `TieRule`."""
        step = len(self.taken)
        choice = self.prefix[step] if step < len(self.prefix) else tied[0]
        sorts: dict[object, str] = {}
        for node_id in tied:
            used = node_id in self.taken
            sorts.setdefault(node_id if used else id(self.kind_of[node_id]), node_id)
        self.others.append([node_id for node_id in sorts.values() if node_id != choice])
        self.taken.append(choice)
        return choice


def _believed(kind: Kind, mistaken: Mapping[str, Row]) -> Iterator[Kind]:
    """The hosts of a kind, less what the GCS wrongly believes to be taken."""
    yield attrs.evolve(kind, node_ids=[id_ for id_ in kind.node_ids if id_ not in mistaken])
    for node_id in kind.node_ids:
        if node_id in mistaken:
            left = zip(kind.free, mistaken[node_id], strict=True)
            free = tuple(have - taken for have, taken in left)
            yield attrs.evolve(kind, free=free, node_ids=[node_id])


def _admits(ask: Ask, host: Host) -> bool:
    return all(labels.matches(selector, host.labels) for selector in ask.selectors)


def _single_gpus(host: Host) -> tuple[int, ...]:
    """What is free of single GPUs: what is known, or else as if all had come at once."""
    if host.gpus is not None:
        return host.gpus
    free, count = max(0, host.free("GPU")), int(host.total.get("GPU", 0)) // UNIT
    slices = sorted(host.slices, reverse=True)
    whole = count - (count * UNIT - free - sum(slices)) // UNIT  # others have whole ones
    left = gpus.cut_off((UNIT,) * whole, slices)
    return left if sum(left) == free else (UNIT,) * (free // UNIT) + (free % UNIT,)


def _take(free: list[int], need: int) -> bool:
    """Take whole GPUs, and for the rest the one of which the least remains; the first of equals."""
    whole, rest = divmod(need, UNIT)
    empty = [i for i, amount in enumerate(free) if amount == UNIT][:whole]
    for i in empty:
        free[i] = 0
    able = [i for i, amount in enumerate(free) if amount >= rest]
    if rest and able:
        free[min(able, key=free.__getitem__)] -= rest
    return len(empty) == whole and (bool(able) or not rest)
