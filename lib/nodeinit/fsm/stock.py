"""A definition as a stock machine of `transitions`, for people who already live in that library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodeinit.fsm.core import Core, Machine, MachineError, build_machine, staleness
from nodeinit.fsm.definition import Definition, Guard
from nodeinit.fsm.events import Event, Occurred
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot


class StockModel:
    """What a stock machine moves: its `state`, and the `snapshot` that the guards look at.

    Trigger it with the event's method and what occurred:
    `model.done(occurred=Occurred(Event.DONE, ctx=ctx))`.
    """

    state: str

    def __init__(
        self, definition: Definition, policy: Policy | None = None, ctx: Any = None
    ) -> None:
        self._core = Core(definition, policy)
        self.policy = self._core.policy
        self.snapshot: Snapshot = self._core.initial(ctx)

    def check_fresh(self, data: Any) -> None:
        """Refuse an event from a visit that is over, as `transitions` refuses one without an edge."""
        stale = staleness(self.snapshot, _occurred(data))
        if stale:
            raise MachineError(stale)

    def follow(self, data: Any) -> None:
        """Bring the snapshot along; called by the machine after each change of state."""
        self.snapshot = self._core.step(self.snapshot, _occurred(data)).after


def stock_machine(
    definition: Definition, machine_cls: Any = None, model: Any = None, **kwargs: Any
) -> Any:
    """A machine of the class `machine_cls` (`transitions.Machine` by default) for a definition.

    With a `StockModel` as `model` (the default) it takes the same steps as the core; a model of your
    own needs the attributes `snapshot` and `policy` for the guards to look at.
    """
    model = StockModel(definition) if model is None else model
    if isinstance(model, StockModel):
        kwargs.setdefault("prepare_event", model.check_fresh)
        kwargs.setdefault("after_state_change", model.follow)
    return build_machine(
        definition,
        machine_cls or Machine,
        conditions=lambda edge: [_condition(guard) for guard in edge.guards],
        model=model,
        **kwargs,
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
