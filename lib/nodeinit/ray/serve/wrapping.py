"""`with_node`: a class of the user's becomes one whose replicas bring up a node before they serve."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from ray.serve._private.http_util import ASGIAppReplicaWrapper
from starlette.requests import Request

from nodeinit.config import LLMConfig
from nodeinit.node.ready import ReadyNode
from nodeinit.ray.serve import probe
from nodeinit.ray.serve.modes import Mode, NotReady
from nodeinit.ray.serve.replica import ReplicaNode

log = logging.getLogger("nodeinit.ray.serve")

HOOK = "on_node_ready"
C = TypeVar("C", bound=type)


def with_node(
    config: LLMConfig,
    *,
    mode: Mode | str = Mode.WAIT,
    path: str = probe.PATH,
    **options: Any,
) -> Callable[[C], C]:
    """Decorate the class of a deployment, below `@serve.deployment` and above `@serve.ingress`.

    Each replica brings up the node of `config`, in the placement group that Serve made for it (its
    own, if Serve made none). When it is ready the class has `self.node`, a `ReadyNode`, and its
    `on_node_ready(self)`, sync or async, is called to load the engine. With `Mode.WAIT` its
    constructor runs after that and may use `self.node` already; with `Mode.EARLY` it runs first.
    `GET` of `path` answers the status. `check_health` fails when the node is lost; the class's own
    is asked too. Stopping a replica, also while it initializes, gives back all that it holds.

    `options` are those of `NodeInitializer`: `machine`, `policy`, `journal`.
    """
    chosen = Mode(mode)

    def wrap(cls: C) -> C:
        base: Any = cls
        made = _wrapped(base, config, chosen, path.rstrip("/") or probe.PATH, options)
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(made, name, getattr(cls, name))
        own_call = any("__call__" in vars(parent) for parent in cls.__mro__)
        if own_call and not issubclass(cls, ASGIAppReplicaWrapper):
            made.__call__ = _call(cls.__call__, path)
        return made  # type: ignore[no-any-return]

    return wrap


def _wrapped(cls: Any, config: LLMConfig, mode: Mode, path: str, options: dict[str, Any]) -> Any:
    class WithNode(cls):  # type: ignore[misc]
        async def __init__(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[misc]
            self._nodeinit = ReplicaNode(config, **options)
            self._constructed = False
            self._behind: asyncio.Task[None] | None = None
            try:
                await self._nodeinit.start()
                if mode is Mode.WAIT:
                    await self._nodeinit.until_ready()
                self._constructed = True
                await _awaited(super().__init__(*args, **kwargs))
                if mode is Mode.WAIT:
                    await self._nodeinit.load(getattr(self, HOOK, None))
                else:
                    self._behind = asyncio.ensure_future(self._become_ready())
            except BaseException:
                await self._nodeinit.stop()
                raise

        @property
        def node(self) -> ReadyNode:
            """The node, once it is ready; raises `NotReady` before."""
            return self._nodeinit.ready

        async def _become_ready(self) -> None:
            """What `Mode.EARLY` does behind requests; `check_health` tells when it fails."""
            try:
                await self._nodeinit.until_ready()
                await self._nodeinit.load(getattr(self, HOOK, None))
            except Exception as error:
                log.error("%s: %s", self._nodeinit.initializer.name, error)

        async def check_health(self) -> None:
            """Fail when the node is lost, with the reason; then ask the class itself."""
            self._nodeinit.check()
            if hasattr(cls, "check_health") and self._nodeinit.status().ready:
                await _awaited(super().check_health())

        async def __del__(self) -> None:
            """Called by Serve when it stops the replica, also in the middle of `__init__`."""
            node = getattr(self, "_nodeinit", None)
            try:
                if getattr(self, "_constructed", False) and hasattr(cls, "__del__"):
                    await _awaited(cls.__del__(self))
            finally:
                if node is not None:
                    await node.stop()

        if issubclass(cls, ASGIAppReplicaWrapper):

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                if probe.is_probe(scope, path):
                    await probe.answer(self._nodeinit.status())(scope, receive, send)
                elif scope["type"] == "http" and not (now := self._nodeinit.status()).ready:
                    await probe.refusal(now)(scope, receive, send)
                else:
                    await super().__call__(scope, receive, send)

    return WithNode


def _call(own: Callable[..., Any], path: str) -> Callable[..., Any]:
    """A class's own `__call__` behind the probe, of the same kind: Serve looks at what kind it is."""
    if inspect.isgeneratorfunction(own) or inspect.isasyncgenfunction(own):
        return own  # it has no place for an answer of another kind

    def before(self: Any, args: tuple[Any, ...]) -> Any:
        node: ReplicaNode = self._nodeinit
        status = node.status()
        request = args[0] if args and isinstance(args[0], Request) else None
        if request is not None and probe.is_probe(request.scope, path):
            return probe.answer(status)
        if status.ready:
            return None
        if request is None:  # by a handle: there it is an exception
            raise NotReady(status)
        return probe.refusal(status)

    if inspect.iscoroutinefunction(own):

        @functools.wraps(own)
        async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            said = before(self, args)
            return said if said is not None else await own(self, *args, **kwargs)

        return call_async

    @functools.wraps(own)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        said = before(self, args)
        return said if said is not None else own(self, *args, **kwargs)

    return call


async def _awaited(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer
