"""One run of a node on a stage, and how it ended: the real node, whatever the cluster.

A scenario says when somebody acts in virtual seconds. Another cluster has other times, so the acts
are bound to states (`Cue`). Without cues they happen at their times, and the run gives the cues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec, make_callback
from nodeinit.config import LLMConfig
from nodeinit.fsm.events import FINALS, Frame
from nodeinit.fsm.executor import Executor
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.snapshot import Step
from nodeinit.node.initializer import NodeInitializer
from nodeinit.node.planning import request_of
from nodeinit.placement.rules import violations, violations_of_release
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.testing.faulty import Faulty
from nodeinit.testing.generate import HOOKS
from nodeinit.testing.saboteur import Saboteur
from nodeinit.testing.scenario import Act, Scenario
from nodeinit.testing.stage import Stage

POLICY = Policy(
    default=PhasePolicy(deadline=12, attempts=3, backoff=Backoff(0.3, 1, 0.3, 0)),
    replans=2,
    hook_deadline=20,
    grace=10,
    undo_deadline=10,
)
SETTLED = 3.0  # seconds that a node has to stay ready after a host died, to count as ready
AT_ONCE = 0.2  # when none did
BOUND = 240.0  # seconds for a run


@attrs.frozen
class Ending:
    """How a node ended: `outcome` is `ready` (and released since), `failed` or `cancelled`.

    `reason` is the code of the reason, for a node that was not ready. `broken` are the names of the
    rules that were broken, when it was ready or after it had given everything back. `why` is not
    compared: the reason in words, and what was broken how.
    """

    outcome: str
    reason: str = ""
    broken: tuple[str, ...] = ()
    why: str = attrs.field(default="", eq=False)

    def __str__(self) -> str:
        """In a few words."""
        rules = f", breaks {', '.join(self.broken)}" if self.broken else ""
        return f"{self.outcome}{f' ({self.reason})' if self.reason else ''}{rules}"


@attrs.frozen
class Cue:
    """An act, when the machine enters a state for the `visit`-th time (1 for the first)."""

    state: str
    visit: int
    act: Act


class Play:
    """A run that has not begun yet; `cues` and `ending` are known when it has ended.

    Every run needs one of its own: it has a fresh instance of the callback.
    """

    def __init__(
        self,
        scenario: Scenario,
        callback: CallbackSpec,
        stage: Stage,
        config: LLMConfig,
        cues: Sequence[Cue] | None,
        name: str,
        executor: Executor,
    ) -> None:
        self.scenario = scenario
        self.stage = stage
        self.cues = list(cues or ())
        self.ending = Ending("not run")
        self.instance = make_callback(callback)
        self._timed = cues is None
        self._open = list(self.cues)
        self._visits: dict[str, int] = {}
        self._acting: set[asyncio.Task[None]] = set()
        self._executor = executor
        self._config = config
        self._name = name

    async def run(self) -> Ending:
        """Bring the node up, let everything happen, and say how it ended."""
        scenario, stage = self.scenario, self.stage
        await stage.set(scenario)
        before = await stage.cluster.snapshot()
        node = self._node = self._made()
        node.subscribe(self._stepped)
        broken: list[tuple[str, str]] = []
        async with node:
            if self._timed:
                self._begin(self._act_in_time())
            arrived = await self._is_ready()
            if arrived:
                broken += await self._broken()
            await node.release()
        for task in self._acting:
            task.cancel()
        await asyncio.gather(*self._acting, return_exceptions=True)
        await self._close()
        await stage.clear()
        broken += await self._left(before)
        await self._tidy()
        end = node.snapshot
        broken += [("cleanup", error) for error in end.cleanup_errors]
        ready = arrived or end.state == Frame.RELEASED
        reason = None if ready else end.reason
        self.ending = Ending(
            "ready" if ready else str(end.state),
            reason.code if reason else "",
            tuple(sorted({rule for rule, _ in broken})),
            "; ".join([*([str(reason)] if reason else []), *(how for _, how in broken)]),
        )
        return self.ending

    def _made(self) -> NodeInitializer:
        saboteur = Saboteur(HOOKS)
        saboteur.failures = self.scenario.others
        cluster: Any = Faulty(self.stage.cluster, self.scenario.faults, self.stage)
        return NodeInitializer(
            self._config.evolve(callback=[CallbackSpec(self.instance), CallbackSpec(saboteur)]),
            cluster=cluster,
            policy=attrs.evolve(POLICY, heal=self.scenario.heal),
            name=self._name,
            executor=self._executor,
        )

    async def _broken(self) -> list[tuple[str, str]]:
        """The rules that a ready node breaks."""
        snapshot, ctx = await self.stage.cluster.snapshot(), self._node.ctx
        if ctx.placement is None:  # it is lost meanwhile
            return []
        plan = None if ctx.placement.adopted else ctx.plan
        found = violations(request_of(ctx), ctx.placement, snapshot, plan)
        return [(each.rule.name, str(each)) for each in found]

    async def _is_ready(self) -> bool:
        """Wait until the node has ended, or is ready and will stay so; whether it is."""
        now, node = asyncio.get_running_loop().time, self._node
        happens = {act.what for act in self.scenario.acts} | {f.kind for f in self.scenario.faults}
        patience = SETTLED if "kill" in happens else AT_ONCE
        if self._timed:
            patience = max((act.at for act in self.scenario.acts), default=0) + SETTLED
        end, since, steps = now() + BOUND, now(), 0
        while node.state not in FINALS and now() < end:
            await asyncio.sleep(0.05)
            if node.state != Frame.READY or len(node.steps) != steps or self._busy():
                since, steps = now(), len(node.steps)
            elif now() - since > patience:
                return True
        return False

    def _busy(self) -> bool:
        """Whether somebody is still acting, or about to."""
        return any(not task.done() for task in self._acting)

    # -- acts --------------------------------------------------------------------------------------

    async def _stepped(self, step: Step) -> None:
        state = str(step.after.state)
        if step.before.state == state:
            return
        self._visits[state] = self._visits.get(state, 0) + 1
        for cue in list(self._open):
            if (cue.state, cue.visit) == (state, self._visits[state]):
                self._open.remove(cue)
                self._begin(self._act(cue.act))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._acting.add(asyncio.ensure_future(work))

    async def _act_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        for act in sorted(self.scenario.acts, key=lambda a: a.at):
            await asyncio.sleep(max(0.0, act.at - loop.time()))
            state = str(self._node.state)
            if state in FINALS:
                return
            known = state if state in self._visits else "config"
            self.cues.append(Cue(known, self._visits.get(known, 1), act))
            self._begin(self._act(act))

    async def _act(self, act: Act) -> None:
        match act.what:
            case "cancel":
                await self._node.cancel()
            case "release":
                await self._node.release()
            case "kill":
                await self.stage.kill(act.node_id)
            case "steal":
                await self.stage.steal(act.node_id)

    # -- the end -----------------------------------------------------------------------------------

    async def _close(self) -> None:
        close = getattr(self.instance, "close", None)
        if callable(close):
            answer = await self._executor.call(close)
            if asyncio.iscoroutine(answer):
                await answer

    async def _left(self, before: ClusterSnapshot) -> list[tuple[str, str]]:
        """What is left of the node, once everything had a moment to come back."""
        for _ in range(30):
            after = await self.stage.cluster.snapshot()
            names = {g.name for g in after.groups if g.name.startswith(self._name)}
            found = [
                (each.rule.name, str(each))
                for name in (*sorted(names), self._name)
                for each in violations_of_release(name, before, after)
            ]
            if not found:
                break
            await asyncio.sleep(0.1)
        return found

    async def _tidy(self) -> None:
        """Whatever was left, the next scenario is to find nothing of it."""
        for group in (await self.stage.cluster.snapshot()).groups:
            if group.name.startswith(self._name):
                await self.stage.cluster.remove(group.name)
