"""The pure core: one event in, one step out. Nothing here waits, calls a hook or keeps a state.

A synchronous `transitions.Machine` without a model looks events up, checks sources and guards,
picks the edge and fires the exit and entry of states; a throwaway cursor carries one event through
it. This is the only module that imports `transitions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import attrs
from transitions import EventData, Machine, MachineError

from nodeinit.fsm.definition import Definition, Edge
from nodeinit.fsm.events import BOOKKEEPING, FINALS, Event, Frame, Held, Occurred, Reason
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import (
    Do,
    Effect,
    Refusal,
    Snapshot,
    Step,
    Stop,
    Undo,
    Wait,
    count,
    rounded,
    with_count,
)

__all__ = ["Core", "Machine", "MachineError", "build_machine", "staleness"]

_OUTCOMES = {Event.CANCEL: Frame.CANCELLED, Event.RELEASE: Frame.RELEASED}


class _Cursor:
    """What `transitions` sees as the model while it processes one event."""

    __slots__ = ("after", "edge", "effects", "occurred", "refusals", "snapshot", "state")

    def __init__(self, snapshot: Snapshot, occurred: Occurred) -> None:
        self.state = snapshot.state
        self.snapshot = snapshot
        self.occurred = occurred
        self.refusals: list[Refusal] = []
        self.effects: list[Effect] = []
        self.edge: Edge | None = None
        self.after = snapshot


class Core:
    """The reducer of one definition under one policy. Safe to share between threads."""

    def __init__(self, definition: Definition, policy: Policy | None = None) -> None:
        self.definition = definition
        self.policy = policy or Policy()
        self._phases = frozenset(phase.state for phase in definition.phases)
        watched = {definition.goal} if definition.watch is not None else set()
        self._working = self._phases | watched | {str(Frame.BACKOFF)}
        self._machine = build_machine(
            definition,
            Machine,
            conditions=lambda edge: [self._condition(edge)],
            on_enter=self._entered,
            on_exit=self._left,
        )

    def initial(self, ctx: Any) -> Snapshot:
        """The snapshot of a machine that has not been started."""
        return Snapshot(state=self.definition.initial, ctx=ctx)

    def step(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        """What an event does to a machine. Pure: the same arguments give the same step."""
        if occurred.event in BOOKKEEPING:
            return self._book(snapshot, occurred)
        stale = staleness(snapshot, occurred)
        if stale:
            return Step(snapshot, occurred, snapshot, accepted=False, refused=stale)
        cursor = _Cursor(snapshot, occurred)
        event = self._machine.events.get(str(occurred.event))
        try:
            taken = event is not None and event.trigger(cursor)
        except MachineError:
            taken = False
        refusals = tuple(cursor.refusals)
        if not taken:
            why = refusals[-1].why if refusals else f"{snapshot.state} has no edge for it"
            return Step(
                snapshot, occurred, snapshot, accepted=False, refusals=refusals, refused=why
            )
        return Step(
            snapshot, occurred, cursor.after, tuple(cursor.effects), True, cursor.edge, refusals
        )

    def _condition(self, edge: Edge) -> Callable[[EventData], bool]:
        guards = edge.guards

        def passes(data: EventData) -> bool:
            cursor = cast("_Cursor", data.model)
            for guard in guards:
                why = guard.check(cursor.snapshot, cursor.occurred, self.policy)
                if why is not None:
                    cursor.refusals.append(Refusal(edge.target, guard.name, why))
                    return False
            cursor.edge = edge
            return True

        return passes

    def _left(self, data: EventData) -> None:
        cursor = cast("_Cursor", data.model)
        if cursor.snapshot.state in self._working:
            cursor.effects.append(Stop(cursor.snapshot.state))

    def _entered(self, data: EventData) -> None:
        cursor = cast("_Cursor", data.model)
        after = _advance(self._working, self._phases, self.definition.goal, cursor)
        cursor.after = after
        effects = cursor.effects
        if after.state in self._phases:
            self._undo_from(after.state, after, effects)
            effects.append(Do(after.state, after.visit))
        elif after.state == Frame.BACKOFF:
            phase = cursor.snapshot.state
            self._undo_from(phase, after, effects)
            tries = count(after.tries, phase)
            asked = after.reason.delay if after.reason else None
            wait = rounded(self.policy.backoff(phase, after.visit, tries, asked))
            effects.append(Wait(phase, wait))
        elif after.state == Frame.RELEASING:
            effects.append(Undo(after.held[::-1], then_report=True))
        elif after.state in self._working:
            effects.append(Do(after.state, after.visit))

    def _undo_from(self, phase: str, after: Snapshot, effects: list[Effect]) -> None:
        """Whoever goes back to a phase first gives back what that phase and later ones acquired."""
        if not after.held:
            return
        start = self.definition.order(phase)
        held = tuple(h for h in after.held[::-1] if self.definition.order(h.phase) >= start)
        if held:
            effects.append(Undo(held))

    def _booking_refused(self, snapshot: Snapshot, occurred: Occurred, held: Held) -> str | None:
        if occurred.event is Event.ACQUIRING:
            if held.kind not in self.definition.undo:
                return f"the machine has no undo for {held.kind!r}"
            return staleness(snapshot, occurred)
        known = any(item.key == held.key for item in snapshot.held)
        if occurred.event is Event.ABANDONED or known:
            return None
        return f"{held.kind} {held.name} is not held"

    def _book(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        held = occurred.held
        if held is None:
            raise ValueError(f"`{occurred.event}` needs what is held")
        refused = self._booking_refused(snapshot, occurred, held)
        if refused:
            return Step(snapshot, occurred, snapshot, accepted=False, refused=refused)
        others = tuple(item for item in snapshot.held if item.key != held.key)
        changes: dict[str, Any] = {"seq": snapshot.seq + 1, "held": others}
        match occurred.event:
            case Event.ACQUIRING | Event.ACQUIRED:
                confirmed = occurred.event is Event.ACQUIRED
                if held.confirmed != confirmed:
                    held = attrs.evolve(held, confirmed=confirmed)
                changes["held"] = (*others, held)
            case Event.ABANDONED:
                why = occurred.reason.message if occurred.reason else "unknown"
                error = f"{held.kind} {held.name} may be left behind: {why}"
                changes["cleanup_errors"] = (*snapshot.cleanup_errors, error)
        return Step(snapshot, occurred, attrs.evolve(snapshot, **changes))


def staleness(snapshot: Snapshot, occurred: Occurred) -> str | None:
    """Why an event comes too late (from a visit of a phase that is over), or `None`."""
    if occurred.phase is None:
        return None
    if occurred.phase != snapshot.state:
        return f"stale: from {occurred.phase}, but the machine is in {snapshot.state}"
    if occurred.attempt is not None and occurred.attempt != snapshot.visit:
        return f"stale: from visit {occurred.attempt} of {occurred.phase}, now {snapshot.visit}"
    return None


def _advance(
    working: frozenset[str], phases: frozenset[str], goal: str, cursor: _Cursor
) -> Snapshot:
    """The snapshot behind the edge that is taken."""
    assert cursor.edge is not None
    before, occurred, edge = cursor.snapshot, cursor.occurred, cursor.edge
    target = edge.target
    event = occurred.event
    onward = target in phases or target == goal
    visits, tries, replans = before.visits, before.tries, before.replans
    retry, outcome = before.retry, before.outcome
    if target in working:
        visits = with_count(visits, target, count(visits, target) + 1)
    if target in phases:
        tries = with_count(tries, target, count(tries, target) + 1 if event == Event.RETRY else 1)
        retry = None
        replans += event in (Event.DISPLACED, Event.LOST)
    elif target == Frame.BACKOFF:
        retry = before.state
    elif target == Frame.RELEASING:
        outcome = _OUTCOMES.get(event, Frame.FAILED)
    # Spelt out, not evolved: this is where a step spends its time.
    after = Snapshot(
        state=target,
        # A result counts only on the way on; a setback leaves the context the phase began with.
        ctx=occurred.ctx if onward and occurred.ctx is not None else before.ctx,
        seq=before.seq + 1,
        visits=visits,
        tries=tries,
        replans=replans,
        retry=retry,
        held=before.held,
        outcome=outcome,
        reason=_reason(before, occurred, cursor.refusals),
        cleanup_errors=before.cleanup_errors,
    )
    return edge.assign(after, occurred) if edge.assign else after


def _reason(before: Snapshot, occurred: Occurred, refusals: list[Refusal]) -> Reason | None:
    """The reason of the event; for a result that a guard turned away, the rule that it broke."""
    if occurred.reason is not None:
        return occurred.reason
    event = occurred.event
    if event is Event.DONE:
        if refusals:
            return Reason("rule", refusals[0].why, before.state, temporary=True)
        return None
    if event is Event.CANCEL:
        return Reason("cancelled", "cancelled", before.state)
    if event is Event.RELEASE:
        return Reason("released", "released")
    return before.reason


def build_machine(
    definition: Definition,
    machine_cls: Any,
    *,
    conditions: Callable[[Edge], list[Any]],
    on_enter: Any = None,
    on_exit: Any = None,
    model: Any = None,
    **kwargs: Any,
) -> Any:
    """A machine of `transitions` with the states and edges of a definition.

    `conditions` gives the conditions of each edge. Names are plain strings throughout: `transitions`
    looks enum members up by name where it should by value.
    """
    states = [
        {
            "name": state,
            "on_enter": [on_enter] if on_enter else [],
            "on_exit": [on_exit] if on_exit else [],
            "final": state in FINALS,
        }
        for state in definition.states
    ]
    machine = machine_cls(
        model=model,
        states=states,
        initial=definition.initial,
        auto_transitions=False,
        send_event=True,
        name=definition.name,
        **kwargs,
    )
    for edge in definition.singles():
        machine.add_transition(edge.events[0], edge.sources[0], edge.target, conditions(edge))
    return machine
