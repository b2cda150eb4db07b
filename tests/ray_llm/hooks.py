"""Callbacks of a user, for tests: imported in replicas by their paths."""

from __future__ import annotations

import json
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


class Async:
    """Waits, which takes a loop, and goes on."""

    async def on_before_init(self, ctx: CallbackCtx) -> None:
        import asyncio

        await asyncio.sleep(0.01)
