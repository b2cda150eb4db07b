"""How Ray's GCS chooses hosts for the bundles of a group: greedily, by what would remain free.

For each bundle it takes the host with the highest score, the sum over what the bundle asks for of
the part that would remain free. That is the emptiest host, where one that is just big enough would
leave room for others. It never goes back on a choice.

Source: ray `src/ray/raylet/scheduling/policy/bundle_scheduling_policy.cc` and `scorer.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import attrs

from nodeinit.frozen import FrozenMap

Row: TypeAlias = tuple[int, ...]
"""Amounts in fixed point, one for each resource that the group asks for."""

TieRule: TypeAlias = Callable[[int, Sequence[str]], str]
"""Which of several equally good hosts (node ids, sorted) a bundle (its index) gets."""

_EQUAL = 1e-12  # scores that are nearer are the same sum, added up in another order


@attrs.frozen(cache_hash=True)
class Ask:
    """What the GCS looks for at once: a bundle, or all bundles of a STRICT_PACK added up."""

    needs: Row
    selectors: tuple[FrozenMap, ...]


@attrs.frozen(eq=False)
class Kind:
    """Hosts that differ in nothing but their ids: what is free of them, and the asks they suit."""

    free: Row
    gpus: tuple[int, ...]
    suits: frozenset[Ask]
    node_ids: list[str]


@attrs.define
class _Used:
    """A host with bundles of the group, what is left of it, and its score for what was asked."""

    kind: Kind
    left: Row
    scores: dict[Ask, float] = attrs.field(factory=dict)

    def score(self, ask: Ask) -> float:
        """The score for an ask, below nothing where it does not fit."""
        if ask not in self.scores:
            able = ask in self.kind.suits and fits(ask.needs, self.left)
            self.scores[ask] = _score(ask, self.left) if able else -1.0
        return self.scores[ask]


def fits(needs: Row, free: Row) -> bool:
    """Whether a host with this much has what is needed, one resource at a time."""
    return all(need <= have for need, have in zip(needs, free, strict=True) if need)


def choose(
    asks: Iterable[tuple[int, Ask]], strategy: str, kinds: Iterable[Kind], tie: TieRule
) -> dict[int, str]:
    """The node id for each ask (index, ask), in the order given; those for which it found one."""
    choice = _Choice(kinds, tie)
    if strategy == "PACK":
        choice.pack(list(asks))
    else:
        choice.spread(asks, again=strategy == "SPREAD")
    return choice.found


class _Choice:
    """One run of the policy. No host is a candidate a second time."""

    def __init__(self, kinds: Iterable[Kind], tie: TieRule) -> None:
        self.found: dict[int, str] = {}
        self._candidates = [(kind, list(kind.node_ids)) for kind in kinds]
        self._used: dict[str, _Used] = {}
        self._tie = tie

    def pack(self, asks: list[tuple[int, Ask]]) -> None:
        """Fill the best host for the first ask with whatever else fits it, then the next one."""
        while asks:
            (index, ask), *others = asks
            if not self._on_candidate(index, ask):
                return
            node_id = self.found[index]
            host = self._used[node_id]
            asks = []
            for index, ask in others:
                if ask in host.kind.suits and fits(ask.needs, host.left):
                    self._put(index, ask, node_id)
                else:
                    asks.append((index, ask))

    def spread(self, asks: Iterable[tuple[int, Ask]], *, again: bool) -> None:
        """A host of its own for each ask; if `again`, where there is none, one that is in use."""
        for index, ask in asks:
            if not self._on_candidate(index, ask) and not (again and self._on_used(index, ask)):
                return

    def _on_candidate(self, index: int, ask: Ask) -> bool:
        able = [
            (_score(ask, kind.free), kind, node_ids)
            for kind, node_ids in self._candidates
            if node_ids and ask in kind.suits and fits(ask.needs, kind.free)
        ]
        if not able:
            return False
        best = max(score for score, _, _ in able)
        tied = [(kind, node_ids) for score, kind, node_ids in able if score >= best - _EQUAL]
        node_id = self._tie(index, sorted(id_ for _, node_ids in tied for id_ in node_ids))
        kind, node_ids = next(each for each in tied if node_id in each[1])
        node_ids.remove(node_id)
        self._used[node_id] = _Used(kind, kind.free)
        self._put(index, ask, node_id)
        return True

    def _on_used(self, index: int, ask: Ask) -> bool:
        scores = {node_id: host.score(ask) for node_id, host in self._used.items()}
        best = max(scores.values(), default=-1.0)
        if best < 0:
            return False
        tied = [node_id for node_id, score in scores.items() if score >= best - _EQUAL]
        self._put(index, ask, self._tie(index, sorted(tied)))
        return True

    def _put(self, index: int, ask: Ask, node_id: str) -> None:
        host = self._used[node_id]
        host.left = tuple(have - need for have, need in zip(host.left, ask.needs, strict=True))
        host.scores.clear()
        self.found[index] = node_id


def _score(ask: Ask, free: Row) -> float:
    return sum((have - need) / have for need, have in zip(ask.needs, free, strict=True) if need)
