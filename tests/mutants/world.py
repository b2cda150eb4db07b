"""Where a callback of the corpus is watched, and everything that can be seen of it there.

This judges nothing: two callbacks differ when what is seen of them differs.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import attrs

from nodeinit import InitializationFailed, LLMConfig, NodeInitializer
from nodeinit.callbacks import ON_NODE_DOWNLOAD, CallbackSpec, RayServeLLMCallback
from nodeinit.clusters.simulated import SimCluster, SimFault, sim_host
from nodeinit.context import CallbackCtx, changes
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.placement.topology import Bundle
from nodeinit.testing.virtual_time import Deadlock, Livelock, VirtualLoop, run_virtual
from tests.mutants.fake_ray import answering

HOOKS = tuple(sorted(name for name in vars(RayServeLLMCallback) if name.startswith("on_")))
POLICY = Policy(
    default=PhasePolicy(deadline=200, attempts=3, backoff=Backoff(1, 2, 20, 0)),
    replans=3,
    hook_deadline=30,
    grace=20,
)
ROUNDS = 10_000


@attrs.frozen
class Act:
    """At a moment, in seconds: `cancel`, `kill` or `steal` a host, `remove` the node's group."""

    at: float
    what: str
    node_id: str = ""


@attrs.frozen
class World:
    """Hosts `a`, `b`, … with so many GPUs and such labels, a request, and what happens."""

    gpus: tuple[int, ...] = (8, 8)
    labels: tuple[Mapping[str, str], ...] = ({}, {}, {}, {}, {}, {}, {}, {})
    tp: int = 2
    pp: int = 1
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    faults: tuple[SimFault, ...] = ()
    acts: tuple[Act, ...] = ()
    taken: int = 0
    """So many GPUs of the first host are somebody else's."""
    again: int = 1
    """How many runs there are, one after the other, in the same process."""

    @property
    def events(self) -> int:
        return len(self.faults) + len(self.acts)

    @property
    def quiet(self) -> World:
        """The same without anything that happens."""
        return attrs.evolve(self, faults=(), acts=())


class Neighbour:
    """Another callback of the same node, with data of its own."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("neighbour", ("is", "here")))


class Watched:
    """A callback behind glass: every call of a hook, its answer and its end are written down.

    The driver and each host have an instance of their own, as in processes of their own.
    """

    def __init__(self, make: Callable[[], Any], seen: list[str]) -> None:
        self._make = make
        self._instances = {(): make()}
        self._seen = seen

    def __dir__(self) -> list[str]:
        return [name for name in HOOKS if hasattr(self._instances[()], name)]

    def _hook(self, name: str, args: Any) -> Any:
        if args not in self._instances:
            self._instances[args] = self._make()
        return getattr(self._instances[args], name)

    def __getattr__(self, name: str) -> Any:
        if inspect.iscoroutinefunction(self._hook(name, ())):

            async def call(ctx: CallbackCtx, *args: str) -> Any:
                hook = self._hook(name, args)
                return self._answered(name, ctx, args, await self._noting(name, hook(ctx, *args)))

            return call

        def call_sync(ctx: CallbackCtx, *args: str) -> Any:
            before, hook = ctx.custom_data, self._hook(name, args)
            try:
                answer = hook(ctx, *args)
            except BaseException as error:
                self._seen.append(f"{name}{args} raised {error!r}")
                raise
            if ctx.custom_data is not before:
                self._seen.append(f"{name} wrote into its context")
            return self._answered(name, ctx, args, answer)

        return call_sync

    async def _noting(self, name: str, running: Any) -> Any:
        with mock.patch.object(time, "sleep", lambda _: self._seen.append(f"{name} blocks")):
            try:
                return await running
            except BaseException as error:
                self._seen.append(f"{name} raised {error!r}")
                raise

    def _answered(self, name: str, ctx: CallbackCtx, args: Any, answer: Any) -> Any:
        if isinstance(answer, CallbackCtx):
            shown: Any = sorted((key, repr(new)) for key, new in changes(ctx, answer).items())
        else:
            shown = type(answer).__name__
        self._seen.append(f"{name}{args} -> {shown}")
        return answer


def watch(make: Callable[[], Any], world: World) -> tuple[str, ...]:
    """All that is seen of a callback in a world."""
    seen: list[str] = []
    with _quiet():
        for _ in range(world.again):
            _live(make, world, seen)
    return tuple(seen)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without a word of the engine about hooks that fail: these do."""
    logger = logging.getLogger("nodeinit.hooks")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _live(make: Callable[[], Any], world: World, seen: list[str]) -> None:
    loop = VirtualLoop()
    loop._selector.limit = ROUNDS
    loop.set_exception_handler(lambda _, context: seen.append(str(context["message"])))
    try:
        run_virtual(_life(make, world, seen), loop=loop)
    except (Deadlock, Livelock) as error:
        seen.append(type(error).__name__)
        loop.reset()
        run_virtual(asyncio.sleep(0), loop=loop)  # what spins is cancelled
    finally:
        loop.close()


async def _life(make: Callable[[], Any], world: World, seen: list[str]) -> None:
    hosts = [
        sim_host(node_id, GPU=gpus, CPU=32, labels=labels)
        for node_id, gpus, labels in zip("abcdefgh", world.gpus, world.labels, strict=False)
    ]
    cluster = SimCluster(hosts, faults=world.faults)
    taken = [Bundle.of(GPU=1)] * world.taken
    cluster.make_group(taken, ["a"] * world.taken, name="somebody-elses")
    callback = Watched(make, seen)
    config = LLMConfig(
        model_id="sim/model",
        model_source="/models/sim",
        engine_kwargs={"tensor_parallel_size": world.tp, "pipeline_parallel_size": world.pp},
        callback=[CallbackSpec(Neighbour()), CallbackSpec(callback)],
        **world.fields,
    )
    loop = asyncio.get_running_loop()
    node = NodeInitializer(
        config, cluster=cluster, policy=POLICY, executor=InlineExecutor(), name="node"
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(answering(cluster))
        await stack.enter_async_context(node)
        acting = asyncio.create_task(_act(world, cluster, node, seen))
        try:
            await node.wait_for("ready")
        except InitializationFailed as error:
            seen += [str(error), _running_on()]
        await acting
        await asyncio.sleep(60)  # a node that was lost has time to heal
        seen.append(f"{node.state} at {loop.time():g} with {dict(node.ctx.custom_data)!r}")
    await asyncio.sleep(50)
    ended = node.steps[-1]
    seen.append(f"{node.state} at {ended.at:g}: {node.snapshot.reason}")
    seen.append(_running_on())
    seen += [f"{name} is left" for name in sorted(cluster.groups)]
    seen += cluster.leftovers()


def _running_on() -> str:
    """How many tasks there are that a hook has begun, or that are hooks which do not end."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    codes = [getattr(coroutine, "cr_code", None) for coroutine in coroutines]
    hooks = [c for c in codes if c and ("/mutants/" in c.co_filename or c.co_name == "_answer")]
    return f"{sum(code.co_filename != __file__ for code in hooks)} tasks run on"


async def _cancel(node: NodeInitializer, seen: list[str]) -> None:
    await node.cancel()
    seen.append(_running_on())


async def _act(world: World, cluster: SimCluster, node: NodeInitializer, seen: list[str]) -> None:
    loop = asyncio.get_running_loop()
    cancels = []
    for act in world.acts:
        await asyncio.sleep(act.at - loop.time())
        match act.what:
            case "cancel":
                cancels.append(asyncio.create_task(_cancel(node, seen)))
            case "kill":
                cluster.kill_host(act.node_id)
            case "steal":
                cluster.steal(act.node_id)
            case "remove":
                for name in [name for name, group in cluster.groups.items() if group.ours]:
                    del cluster.groups[name]
                cluster._shaken.set()
    await asyncio.gather(*cancels)


assert ON_NODE_DOWNLOAD in HOOKS
