"""The embedding API in one call: bring a node up (`initialize_node`) and use it (`ReadyNode`)."""

from __future__ import annotations

from typing import Any

from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, ModelFiles
from nodeinit.fsm.events import Frame
from nodeinit.node.initializer import NodeInitializer
from nodeinit.placement.topology import Placement


class ReadyNode:
    """A node that is ready. Release it, or use it as `async with`."""

    def __init__(self, node: NodeInitializer) -> None:
        self._node = node

    @property
    def ctx(self) -> CallbackCtx:
        """The context, with every result."""
        return self._node.ctx

    @property
    def model(self) -> ModelFiles:
        """The model: `model.path` is the directory for the engine, the same on every host."""
        assert self.ctx.model is not None
        return self.ctx.model

    @property
    def placement(self) -> Placement:
        """Where Ray put the bundles."""
        assert self.ctx.placement is not None
        return self.ctx.placement

    @property
    def node(self) -> NodeInitializer:
        """The machine under it, for who wants to watch it."""
        return self._node

    async def release(self) -> None:
        """Give everything back. Safe to repeat."""
        await self._node.__aexit__(None, None, None)

    async def __aenter__(self) -> ReadyNode:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()


async def initialize_node(config: LLMConfig, **options: Any) -> ReadyNode:
    """Bring a node to READY and return it; `options` are those of `NodeInitializer`.

    Raises `InitializationFailed` with the reason, with nothing left behind. A cancel (or an outer
    `asyncio.timeout`) releases first, then propagates.
    """
    node = NodeInitializer(config, **options)
    await node.__aenter__()
    try:
        await node.wait_for(Frame.READY)
    except BaseException:
        await node.__aexit__(None, None, None)
        raise
    return ReadyNode(node)
