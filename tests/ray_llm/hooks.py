"""Callbacks of a user, for tests: imported in replicas by their paths."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from pathlib import Path
from typing import Any

from nodeinit import CallbackCtx, PermanentError
from nodeinit.placement.request import PlacementRequest


class Records:
    """Writes what it sees, a line of JSON for each hook."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def _write(self, hook: str, ctx: CallbackCtx, **more: Any) -> None:
        seen = {"hook": hook, "group": str(getattr(ctx.placement_group, "id", None)), **more}
        with self._path.open("a") as file:
            file.write(json.dumps(seen) + "\n")

    def on_before_init(self, ctx: CallbackCtx) -> None:
        self._write("on_before_init", ctx)

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        self._write("on_before_download", ctx)
        return ctx.evolve(custom_data=ctx.custom_data.set("seen", True))

    async def on_after_init(self, ctx: CallbackCtx) -> None:
        assert ctx.placement is not None and ctx.model is not None
        self._write("on_after_init", ctx, placed=ctx.placement.group_id, path=ctx.model.path)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        self._write("on_init_failed", ctx)


class Stays:
    """Says that it is there, and then does not come back for a minute."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def on_before_download(self, ctx: CallbackCtx) -> None:
        self._path.touch()
        time.sleep(60)


class AsksTwice:
    """Wants GPUs of its own beside those that Serve has reserved."""

    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(placement_group=PlacementRequest.of(gpu=0, cpu=1))


class Tunes:
    """Hands the engine an argument."""

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = kwargs

    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.update(self._kwargs))


class Refuses:
    """Raises."""

    def on_before_init(self, ctx: CallbackCtx) -> None:
        raise PermanentError("not on a Friday")


class Misspelt:
    """Would never be called."""

    def on_before_dowload(self, ctx: CallbackCtx) -> None:
        pass


class Writes:
    """Writes to what is frozen."""

    def on_before_init(self, ctx: CallbackCtx) -> None:
        ctx.placement_group = "banana"  # type: ignore[misc]


class TakesGroupAway:
    """Wants no group."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(placement_group=None)


async def _later(ctx: CallbackCtx, name: str) -> CallbackCtx:
    await asyncio.sleep(0.01)
    return ctx.evolve(custom_data=ctx.custom_data.set(name, True))


class Everything:
    """Hooks of every kind, on every host, with something on `self` that cannot be pickled.

    Its arguments have the names that Ray's own constructor has.
    """

    def __init__(self, llm_config: str, ctx_kwargs: str) -> None:
        self.named = llm_config + ctx_kwargs
        self.lock = threading.Lock()
        self.on_before_download = functools.partial(_later, name="partial")
        self.on_before_placement = lambda ctx: _later(ctx, "lambda")

    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return await _later(ctx, "async")

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set(node_id, self.named))
