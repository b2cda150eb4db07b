"""A run of the author's callback, and what it showed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import attrs

from nodeinit.fsm.snapshot import Step
from nodeinit.node.phases import NodePhase
from nodeinit.testing.asked import judge_reservation
from nodeinit.testing.properties import Property, broken, happened
from nodeinit.testing.trial import Trial
from nodeinit.testing.watched import Call, Log


@attrs.define(eq=False)
class Trace(Trial):
    """A run of the author's callback: its steps, and every call of a hook."""

    log: Log = attrs.field(kw_only=True)
    properties: Sequence[Property] = attrs.field(kw_only=True)
    happened: set[str] = attrs.field(factory=set)
    """The ids of the `sometimes` that are true of this run."""
    untold: dict[str, str] = attrs.field(factory=dict)
    """Why it cannot be told of the others, by id, where they raised."""
    tasks_soon: list[asyncio.Task[Any]] = attrs.field(factory=list)

    @property
    def calls(self) -> list[Call]:
        """Every call of a hook, with the context before and after."""
        return self.log.calls

    def blame(self, check: str, message: str, call: Call) -> None:
        """Record what a call of a hook broke."""
        self.say(check, message, hook=call.hook, line=call.where)

    def soon_after(self) -> None:
        """Note the tasks of hooks that run on, and that nobody cancelled."""
        if all(call.ended is not None for call in self.calls):
            tasks = self.log.outside.tasks
            self.tasks_soon = [t for t in tasks if not t.done() and not t.cancelling()]

    def stepped(self, step: Step) -> None:
        """Judge a step, also by the author's own properties."""
        Trial.stepped(self, step)
        if step.before.state == step.after.state:
            return
        if step.after.state == NodePhase.PLACEMENT:
            for check, wrong in judge_reservation(step.after.ctx, self.cluster):
                self.say(check, wrong)
        for found in self.properties:
            if found.state == step.after.state:
                how = broken(found, step.after.ctx, self)
                if how:
                    self.say(found.id, f"in {found.state}: {how}")

    def look_back(self) -> None:
        """See what of the author's `sometimes` is true of the finished run."""
        for found in self.properties:
            if found.sometimes is not None:
                true, untold = happened(found, self.end.ctx, self)
                if true:
                    self.happened.add(found.id)
                elif untold:
                    self.untold[found.id] = untold

    def answers(self) -> list[tuple[str, str, Any, str]]:
        """What the hooks answered, for comparing with another run."""
        return [(c.hook, c.node_id, c.after, type(c.error).__name__) for c in self.calls]
