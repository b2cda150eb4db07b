"""Callbacks to be mutated: with lines about which the laws alone say nothing."""

from __future__ import annotations

import asyncio

import attrs

from nodeinit import CallbackCtx


class Labels:
    """Writes what no law asks for."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(worker_node_download_model="TOKENIZER_ONLY")


class Tidies:
    """Has a task that it must end; without the last line it would run on."""

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        task = asyncio.create_task(asyncio.sleep(100_000))
        try:
            await asyncio.sleep(1)
        finally:
            task.cancel()


class Says:
    """Code that comes to the same when it is changed."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        if not ctx.custom_data:
            return ctx
        return ctx


class Broken:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        raise KeyError("always")


@attrs.define
class Named:
    """Made by attrs, with an argument; its own name is used in it."""

    key: str

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        assert type(self) is Named
        return ctx.evolve(custom_data=ctx.custom_data.set(self.key, 1))
