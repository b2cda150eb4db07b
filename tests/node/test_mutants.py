"""Bugs planted in the engine: each must be caught by the promise, or these tests prove nothing."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import nodeinit.fsm.core as core_module
from nodeinit.fsm.core import Core
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import Event, Held, Occurred
from nodeinit.fsm.hooks import Fold, HookRunner
from nodeinit.fsm.performer import Performer
from nodeinit.fsm.snapshot import Do, Snapshot, Step, Undo
from nodeinit.testing.virtual_time import Deadlock, Livelock, VirtualLoop
from tests.fsm.test_driver import test_a_late_result_is_refused
from tests.node.promise import NODE_INIT, Act, Scenario, SimFault, run
from tests.node.scenarios import corpus


def catches(core_cls: type[Core] = Core, driver_cls: type[Driver] = Driver) -> bool:
    """Whether a broken engine is found out by the promise."""
    loop = VirtualLoop()
    for scenario in (*PLAIN, *corpus(800)):
        loop.reset()
        try:
            if run(scenario, core_cls=core_cls, driver_cls=driver_cls, loop=loop).broken:
                return True
        except (Deadlock, Livelock):
            return True  # any other error would only say that the mutant itself is broken
    return False


PLAIN = (
    Scenario(),
    Scenario((8, 8), 4, 2),
    Scenario((2, 2), 2, 1, acts=(Act(20.0, "kill", "a"),)),
    Scenario(hooks=(("on_before_download", "hang"),), acts=(Act(1.0, "cancel"),)),
)


class SkipsGuards(Core):
    def _condition(self, edge: Any) -> Any:
        return super()._condition(attrs.evolve(edge, guards=()) if edge.target == "ready" else edge)


def performing(performer_cls: type[Performer]) -> type[Driver]:
    """A driver with another performer."""
    return type(performer_cls.__name__, (Driver,), {"performer": performer_cls})


class SkipsUndo(Performer):
    async def _undo(self, held: Held) -> None:
        self.book(Occurred(Event.DROPPED, held=held))


class UndoesOldestFirst(Performer):
    async def _undo(self, held: Held) -> None:
        await super()._undo(self.now().held[0])


class CommitsBeforeHooks(Driver):
    async def _handle(self, occurred: Occurred, answer: Any) -> None:
        step = self._commit(self.core.step(self.snapshot, occurred))
        if step.accepted and step.edge is not None and step.edge.hooks:
            folded = await self._hooks.fold(step.edge.hooks, step.after.ctx)
            self.snapshot = attrs.evolve(self.snapshot, ctx=folded.ctx)
        self._performer.perform(step)


class HooksDoNotFold(HookRunner):
    async def fold(self, hooks: Any, ctx: Any, *args: Any, observe: bool = False) -> Fold:
        """Each callback gets the context that the first one got: the last answer wins."""
        result = Fold(ctx)
        for callback in self.callbacks:
            alone = attrs.evolve(self, callbacks=(callback,))
            one = await HookRunner.fold(alone, hooks, ctx, *args, observe=observe)
            result = Fold(one.ctx, (*result.runs, *one.runs), result.error or one.error)
        return result


class LosesUpdates(Driver):
    def __init__(self, *args: Any, hooks: HookRunner, **kwargs: Any) -> None:
        fields = {n: getattr(hooks, n) for n in ("executor", "context", "check_change", "deadline")}
        first = hooks.callbacks[-1:], hooks.callbacks[:-1]
        made = HooksDoNotFold((*first[0], *first[1]), **fields)
        super().__init__(*args, hooks=made, **kwargs)


class ChecksNoFields(Driver):
    def __init__(self, *args: Any, hooks: HookRunner, **kwargs: Any) -> None:
        super().__init__(*args, hooks=attrs.evolve(hooks, check_change=None), **kwargs)


class NoHookDeadline(Driver):
    def __init__(self, *args: Any, hooks: HookRunner, **kwargs: Any) -> None:
        super().__init__(*args, hooks=attrs.evolve(hooks, deadline=1e12), **kwargs)


class NoDeadlines(Performer):
    def _start(self, effect: Any) -> None:
        super()._start(effect)
        if isinstance(effect, Do) and self._timer is not None:
            self._timer.cancel()


class CancelWaitsForHooks(Driver):
    def _put(self, occurred: Occurred, answer: Any) -> None:
        self._mailbox.put_nowait((occurred, answer))


class ForgetsIntents(Driver):
    def _book(self, occurred: Occurred) -> Step:
        step = super()._book(occurred)
        if occurred.event is Event.ACQUIRING:
            rest = tuple(h for h in self.snapshot.held if h.key != occurred.held.key)  # type: ignore[union-attr]
            self.snapshot = attrs.evolve(self.snapshot, held=rest)
        return step


class KeepsOldHoldings(Core):
    def step(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        step = super().step(snapshot, occurred)
        kept = tuple(e for e in step.effects if not isinstance(e, Undo) or e.then_report)
        return attrs.evolve(step, effects=kept)


class DoesNotStop(Performer):
    async def _stop(self, phase: str) -> None:
        self._work = None


class RetriesFromTheFailedContext(Core):
    def step(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        step = super().step(snapshot, occurred)
        if step.accepted and step.after.state == "backoff" and snapshot.state != "backoff":
            spoilt = step.after.ctx.evolve(nodes={}, plan=None)
            return attrs.evolve(step, after=attrs.evolve(step.after, ctx=spoilt))
        return step


class DoesNotWatch(Performer):
    def _start(self, effect: Any) -> None:
        if not (isinstance(effect, Do) and effect.phase == "ready"):
            super()._start(effect)


class ForgetsTheReason(Core):
    def step(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        step = super().step(snapshot, occurred)
        return attrs.evolve(step, after=attrs.evolve(step.after, reason=None))


class TriesForEver(Core):
    def step(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        step = super().step(snapshot, occurred)
        if occurred.event is Event.RETRY and step.accepted:
            return attrs.evolve(step, after=attrs.evolve(step.after, tries=snapshot.tries))
        return step


class EndsBeforeUndo(Core):
    def step(self, snapshot: Snapshot, occurred: Occurred) -> Step:
        step = super().step(snapshot, occurred)
        if step.after.state == "releasing" and snapshot.state != "releasing":
            return attrs.evolve(step, after=attrs.evolve(step.after, state=str(step.after.outcome)))
        return step


MUTANTS = [
    SkipsGuards,
    SkipsUndo,
    UndoesOldestFirst,
    CommitsBeforeHooks,
    LosesUpdates,
    ChecksNoFields,
    NoHookDeadline,
    NoDeadlines,
    CancelWaitsForHooks,
    ForgetsIntents,
    KeepsOldHoldings,
    DoesNotStop,
    RetriesFromTheFailedContext,
    DoesNotWatch,
    ForgetsTheReason,
    TriesForEver,
    EndsBeforeUndo,
]


def test_the_engine_itself_is_not_caught() -> None:
    """On these; on the others `test_promise.py` shows it."""
    assert not any(run(scenario).broken for scenario in PLAIN)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_a_planted_bug_is_caught(mutant: type) -> None:
    if issubclass(mutant, Core):
        assert catches(core_cls=mutant)
    elif issubclass(mutant, Performer):
        assert catches(driver_cls=performing(mutant))
    else:
        assert catches(driver_cls=mutant)


def test_a_stale_result_that_is_accepted_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The activities of the standard machine are never late; those of the small machine are."""
    monkeypatch.setattr(core_module, "staleness", lambda snapshot, occurred: None)

    with pytest.raises(AssertionError):
        test_a_late_result_is_refused()


def test_a_guard_that_always_passes_is_caught() -> None:
    """Without `model_is_complete` a host that lies about its files gets the node ready."""
    edges = tuple(
        attrs.evolve(edge, guards=tuple(g for g in edge.guards if g.name != "model_is_complete"))
        for edge in NODE_INIT.edges
        if not (
            edge.sources == ("placement",) and edge.events == ("done",) and edge.target != "ready"
        )
    )
    edges = tuple(attrs.evolve(e, guards=()) if e.target == "ready" else e for e in edges)
    lax = attrs.evolve(NODE_INIT, edges=edges)

    assert run(Scenario(faults=(SimFault("fetch", "lie"),)), definition=lax).broken
    assert run(Scenario(faults=(SimFault("reserve", "lie"),)), definition=lax).broken
    assert not run(Scenario(faults=(SimFault("fetch", "lie"),))).broken
