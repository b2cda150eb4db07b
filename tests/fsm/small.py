"""A small machine of its own for the tests of the engine: two phases, a context with a number."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import attrs

from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition, Edge, Phase, retries
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import Event, Frame, Held, Occurred
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.guards import attempts_left, ends_in, heals, replans_left, temporary
from nodeinit.fsm.hooks import BoundCallback, HookRunner
from nodeinit.fsm.journal import Journal
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.run import Displacement, Run
from nodeinit.fsm.snapshot import Snapshot


class P(enum.StrEnum):
    FETCH = "fetch"
    BUILD = "build"


PHASES = (P.FETCH, P.BUILD)


@attrs.frozen
class Ctx:
    n: int = 0
    trail: tuple[str, ...] = ()
    engine: int = 0  # no hook may change it


def check_change(before: Ctx, after: Ctx, hook: str) -> tuple[str, str] | None:
    return ("engine", "changed 'engine'") if before.engine != after.engine else None


class CtxCodec:
    def dump(self, ctx: Ctx) -> dict[str, Any]:
        return {**attrs.asdict(ctx), "trail": list(ctx.trail)}

    def load(self, data: dict[str, Any]) -> Ctx:
        return Ctx(data["n"], tuple(data["trail"]), data["engine"])

    def changes(self, before: Ctx, after: Ctx) -> dict[str, Any]:
        old = self.dump(before)
        return {key: value for key, value in self.dump(after).items() if value != old[key]}

    def apply(self, ctx: Ctx, changes: dict[str, Any]) -> Ctx:
        return self.load({**self.dump(ctx), **changes})


class World:
    """What the activities act on: a script of what each visit does, and a ledger of things held.

    `script[phase]` lists one entry a visit: a number of seconds to work, an exception to raise, or
    an async function of (ctx, run); after the last entry the visit works for one second.
    """

    def __init__(self, **script: list[Any]) -> None:
        self.script = script
        self.held: list[str] = []
        self.log: list[str] = []
        self.undo_script: list[Any] = []

    async def work(self, ctx: Ctx, run: Run) -> Ctx:
        script = self.script.get(run.phase, [])
        entry = script[run.attempt - 1] if run.attempt <= len(script) else 1.0
        self.log.append(f"{run.phase}#{run.attempt}")
        if run.phase == P.BUILD:
            name = f"thing-{run.attempt}"
            run.acquire("thing", name)
            self.held.append(name)
            await asyncio.sleep(0.1)
            run.acquired("thing", name)
        if isinstance(entry, BaseException):
            await asyncio.sleep(1)
            raise entry
        if callable(entry):
            return await entry(ctx, run)
        await asyncio.sleep(entry)
        return attrs.evolve(ctx, n=ctx.n + 1, trail=(*ctx.trail, run.phase))


async def work(ctx: Ctx, run: Run) -> Ctx:
    return await run.cluster.work(ctx, run)


async def watch(ctx: Ctx, run: Run) -> str:
    lost: asyncio.Event = run.cluster.__dict__.setdefault("lost", asyncio.Event())
    await lost.wait()
    lost.clear()
    return "it broke"


async def undo(held: Held, world: World) -> None:
    entry = world.undo_script.pop(0) if world.undo_script else 0.5
    world.log.append(f"undo {held.name}")
    if isinstance(entry, BaseException):
        raise entry
    await asyncio.sleep(entry)
    if held.name in world.held:
        world.held.remove(held.name)


EDGES = (
    Edge(Frame.IDLE, Event.START, P.FETCH, hooks=("on_before_fetch",)),
    Edge(P.FETCH, Event.DONE, P.BUILD, hooks=("on_before_build",)),
    Edge(P.BUILD, Event.DONE, Frame.READY, hooks=("on_ready",)),
    Edge(P.BUILD, Event.DISPLACED, P.FETCH, (replans_left,), ("on_before_fetch",)),
    Edge(Frame.READY, Event.LOST, P.FETCH, (heals, replans_left), ("on_before_fetch",)),
    Edge(PHASES, (Event.ERRORED, Event.ELAPSED), Frame.BACKOFF, (temporary, attempts_left)),
    *(Edge(Frame.BACKOFF, Event.RETRY, phase, (retries(phase),)) for phase in PHASES),
    Edge((Frame.IDLE, *PHASES, Frame.BACKOFF, Frame.READY), Event.ERRORED, Frame.RELEASING),
    Edge(PHASES, Event.ELAPSED, Frame.RELEASING),
    Edge(P.BUILD, Event.DISPLACED, Frame.RELEASING),
    Edge(Frame.READY, (Event.LOST, Event.RELEASE), Frame.RELEASING),
    Edge((Frame.IDLE, *PHASES, Frame.BACKOFF, Frame.READY), Event.CANCEL, Frame.RELEASING),
    Edge(
        Frame.RELEASING,
        Event.UNDONE,
        Frame.FAILED,
        (ends_in(Frame.FAILED),),
        ("on_failed",),
        observes=True,
    ),
    Edge(Frame.RELEASING, Event.UNDONE, Frame.CANCELLED, (ends_in(Frame.CANCELLED),)),
    Edge(Frame.RELEASING, Event.UNDONE, Frame.RELEASED),
)


def small(**changes: Any) -> Definition:
    fields: dict[str, Any] = {
        "name": "small",
        "phases": (Phase(P.FETCH, work), Phase(P.BUILD, work, ("thing",))),
        "edges": EDGES,
        "watch": watch,
        "undo": {"thing": undo},
        "context": Ctx,
        "check_change": check_change,
        "codec": CtxCodec(),
    }
    return Definition(**{**fields, **changes})


SMALL = small()


def driver(
    world: World,
    *callbacks: Any,
    policy: Policy | None = None,
    definition: Definition = SMALL,
    raise_error: bool = True,
    core_cls: type[Core] = Core,
    driver_cls: type[Driver] = Driver,
    journal: Any = None,
) -> Driver:
    """A driver in virtual time over a world, with callbacks given as instances."""
    core = core_cls(definition, policy or Policy(seed=1))
    bound = [
        BoundCallback(
            type(callback).__name__,
            callback,
            frozenset(hook for hook in definition.hooks if hasattr(callback, hook)),
            raise_error,
        )
        for callback in callbacks
    ]
    hooks = HookRunner(
        bound,
        InlineExecutor(),
        definition.context,
        definition.check_change,
        diff=definition.codec.changes if definition.codec else None,
        deadline=core.policy.hook_deadline,
    )
    ctx = Ctx()
    made = driver_cls(
        core,
        ctx,
        cluster=world,
        hooks=hooks,
        executor=InlineExecutor(),
        journal=Journal(journal, core, ctx, "node") if journal else None,
    )
    made.post(Occurred(Event.START))
    return made


async def until(made: Driver, state: str) -> Snapshot:
    """Let the machine run until it is in a state."""
    while made.snapshot.state != state:
        await asyncio.sleep(0.05)
    return made.snapshot


def path(made: Driver) -> list[str]:
    """The states that a run went through."""
    states = [made.steps[0].before.state] if made.steps else []
    for step in made.steps:
        if step.before.state != step.after.state:
            states.append(step.after.state)
    return states


__all__ = ["SMALL", "Ctx", "Displacement", "P", "World", "driver", "path", "small", "until"]
