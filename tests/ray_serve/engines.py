"""Engine classes as users write them, and callbacks that take their time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import FastAPI
from ray import serve
from starlette.requests import Request

from nodeinit import CallbackCtx, PermanentError

app = FastAPI()


@serve.ingress(app)
class Chat:
    """An engine with an ASGI application; its constructor uses the node."""

    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting
        self.path = self.node.model.path  # type: ignore[attr-defined]

    @app.get("/hello")
    def hello(self) -> dict[str, Any]:
        return {"says": self.greeting, "path": self.path}


class Plain:
    """An engine without an application, that loads when its node is ready; blocking, as many are."""

    loaded = False

    def on_node_ready(self) -> None:
        time.sleep(0.5)
        self.loaded = True

    def __call__(self, request: Any) -> Any:
        asked = request.url.path if isinstance(request, Request) else request
        node = self.node  # type: ignore[attr-defined]
        reports = node.ctx.nodes.values()
        return {
            "asked": asked,
            "loaded": self.loaded,
            "fetched": sum(report.fetched for report in reports),
            "bundles": [bundle.node_id for bundle in node.placement.bundles],
            "adopted": node.placement.adopted,
        }


class BreaksItself:
    """An engine that cannot load."""

    async def on_node_ready(self) -> None:
        raise RuntimeError("no kernel for this GPU, key=hf_abcdefghijklmnopqrstuvwx")

    def __call__(self, request: Any) -> str:
        return "never"


class Slowly:
    """Takes `seconds` before the download."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        await asyncio.sleep(self.seconds)


class Hangs:
    """Hangs on every host, once its files are there."""

    async def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
        await asyncio.sleep(1e6)


class Refuses:
    """Refuses the node for good."""

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        raise PermanentError("the licence of this model does not allow it")
