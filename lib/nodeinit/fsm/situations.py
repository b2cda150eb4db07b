"""Every situation that a machine can get into, whatever its context, activities and hooks do.

A *situation* is what the core decides by: the state, the tries of each phase, the plans that were
given up, what a backoff is for, the outcome and the last setback. All of them are visited, breadth
first, so the way to each is a shortest one. The policy bounds them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

import attrs

from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition, Edge
from nodeinit.fsm.events import BOOKKEEPING, Event, Occurred, Reason
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, Step
from nodeinit.fsm.unknown import UNKNOWN, Oracle, without_context

BOUND = 20_000
"""So many situations are looked at: a machine that has more has counters without a bound, or many."""

Key: TypeAlias = tuple[object, ...]


@attrs.frozen
class Move:
    """An event in a situation, the guards that the context then turns down, and what comes of it.

    `target` is the situation that it leads to; `None` where the event is refused.
    """

    event: Event
    temporary: bool
    no: tuple[str, ...]
    target: Key | None
    edge: int | None = None

    @property
    def kind(self) -> bool:
        """Whether nothing goes wrong in it."""
        return not self.no and self.event in (Event.START, Event.DONE, Event.RETRY, Event.UNDONE)

    def __str__(self) -> str:
        lasting = self.event is Event.ERRORED and not self.temporary
        words = [str(self.event), *(["(for good)"] if lasting else [])]
        return " ".join([*words, *(f"[not {guard}]" for guard in self.no)])


@attrs.define
class Situation:
    """One of them: a snapshot that stands for all of its kind, and what can happen in it."""

    snapshot: Snapshot
    came: tuple[Key, Move] | None
    moves: tuple[Move, ...] = ()
    overdrawn: str | None = None

    @property
    def state(self) -> str:
        """The state of the machine in it."""
        return self.snapshot.state


@attrs.define
class Exploration:
    """All situations by their keys, in the order in which they were met."""

    definition: Definition
    policy: Policy
    situations: dict[Key, Situation] = attrs.field(factory=dict)
    singles: tuple[Edge, ...] = ()
    complete: bool = True

    def way(self, key: Key) -> tuple[str, ...]:
        """The events of a shortest way to a situation."""
        events: list[str] = []
        came = self.situations[key].came
        while came is not None:
            key, move = came
            events.append(str(move))
            came = self.situations[key].came
        return tuple(reversed(events))

    @property
    def taken(self) -> frozenset[int]:
        """The edges that are taken, as positions in `singles`."""
        found = (move.edge for s in self.situations.values() for move in s.moves)
        return frozenset(edge for edge in found if edge is not None)


def explore(definition: Definition, policy: Policy, *, bound: int = BOUND) -> Exploration:
    """Visit every situation that a definition can get into under a policy, `bound` at most."""
    oracle = Oracle()
    free = without_context(definition, oracle)
    core = Core(free, policy)
    found = Exploration(definition, policy, singles=definition.singles())
    places = {id_of(edge): n for n, edge in reversed([*enumerate(free.singles())])}
    first = core.initial(UNKNOWN)
    found.situations[_key(first)] = Situation(first, None)
    waiting = deque([_key(first)])
    while waiting:
        key = waiting.popleft()
        here = found.situations[key]
        here.overdrawn = _overdrawn(here.snapshot, policy)
        if here.overdrawn:
            continue  # it would go on for ever
        moves = []
        for step, no in _steps(core, oracle, here.snapshot):
            target = _key(step.after) if step.accepted else None
            edge = places[id_of(step.edge)] if step.edge is not None and step.accepted else None
            temporary = step.occurred.reason is None or step.occurred.reason.temporary
            move = Move(step.occurred.event, temporary, no, target, edge)
            moves.append(move)
            if target is None or target in found.situations:
                continue
            if len(found.situations) >= bound:
                found.complete = False
                continue
            found.situations[target] = Situation(step.after, (key, move))
            waiting.append(target)
        here.moves = tuple(move for move in moves if move.target in (None, *found.situations))
    return found


def id_of(edge: Edge) -> tuple[object, ...]:
    """What tells an edge from the others of its machine."""
    return edge.sources, edge.events, edge.target, edge.guards


def _steps(core: Core, oracle: Oracle, before: Snapshot) -> Iterator[tuple[Step, tuple[str, ...]]]:
    """Every event, with each combination of answers of the guards that look at the context."""
    for occurred in _events():
        waiting: list[tuple[bool, ...]] = [()]
        while waiting:
            answers = waiting.pop()
            oracle.begin(answers)
            step = core.step(before, occurred)
            said = tuple(passes for _, passes in oracle.asked)
            waiting += [(*said[:n], False) for n in range(len(answers), len(said))]
            yield step, tuple(guard for guard, passes in oracle.asked if not passes)


def _events() -> Iterator[Occurred]:
    for event in Event:
        if event in BOOKKEEPING:
            continue
        ctx = UNKNOWN if event in (Event.DONE, Event.DISPLACED) else None
        reason = None
        if event in (Event.ERRORED, Event.ELAPSED, Event.DISPLACED, Event.LOST):
            reason = Reason(str(event), str(event), temporary=True)
        yield Occurred(event, ctx=ctx, reason=reason)
        if event is Event.ERRORED and reason is not None:
            yield Occurred(event, reason=attrs.evolve(reason, temporary=False))


def _key(snapshot: Snapshot) -> Key:
    reason = snapshot.reason
    return (
        snapshot.state,
        tuple(sorted(snapshot.tries)),
        snapshot.replans,
        snapshot.retry,
        snapshot.outcome,
        reason and (reason.code, reason.temporary),
    )


def _overdrawn(snapshot: Snapshot, policy: Policy) -> str | None:
    """How a situation is beyond what the policy allows."""
    for phase, tries in snapshot.tries:
        if tries > policy.of(phase).attempts:
            return f"{phase} is tried more than {policy.of(phase).attempts} times in a row"
    if snapshot.replans > policy.replans:
        return f"there are more than {policy.replans} new plans"
    return None
