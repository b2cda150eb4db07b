"""A definition as a stock machine of `transitions`, for people who already live in that library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodeinit.fsm.core import Core, Machine, build_machine, staleness
from nodeinit.fsm.definition import Definition, Edge, Guard
from nodeinit.fsm.events import Event, Occurred
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot


class StockModel:
    """What a stock machine moves: its `state`, and the `snapshot` that the guards look at.

    Trigger it with the event's method and what occurred:
    `model.done(occurred=Occurred(Event.DONE, ctx=ctx))`.
    """

    state: str

    def __init__(self, definition: Definition, policy: Policy | None = None, ctx: Any = None) -> None:
        self._core = Core(definition, policy)
        self.policy = self._core.policy
        self.snapshot: Snapshot = self._core.initial(ctx)

    def moved(self, data: Any) -> None:
        """Bring the snapshot along; called by the machine after each change of state."""
        self.snapshot = self._core.step(self.snapshot, _occurred(data)).after


def stock_machine(
    definition: Definition, machine_cls: Any = None, model: Any = None, **kwargs: Any
) -> Any:
    """A machine of the class `machine_cls` (`transitions.Machine` by default) for a definition.

    With a `StockModel` as `model` it takes the same steps as the core. Without one it has the
    states, the edges and the guards' names, which is all that a `GraphMachine` or markup needs.
    """
    stock = isinstance(model, StockModel)
    if stock:
        kwargs.setdefault("after_state_change", model.moved)

    def conditions(edge: Edge) -> list[Callable[[Any], bool]]:
        guards = (_fresh, *edge.guards) if stock else edge.guards
        return [_condition(guard) for guard in guards]

    return build_machine(
        definition, machine_cls or Machine, conditions=conditions, model=model, **kwargs
    )


def _occurred(data: Any) -> Occurred:
    occurred: Occurred | None = data.kwargs.get("occurred")
    return occurred or Occurred(Event(data.event.name))


def _condition(guard: Guard) -> Callable[[Any], bool]:
    def check(data: Any) -> bool:
        model = data.model
        return guard.check(model.snapshot, _occurred(data), model.policy) is None

    check.__name__ = check.__qualname__ = guard.name
    return check


_fresh = Guard("fresh", lambda snapshot, occurred, _policy: staleness(snapshot, occurred))
