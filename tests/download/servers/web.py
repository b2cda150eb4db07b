"""A web server of files: ranges, strong ETags and conditions as aiohttp serves them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

ROOT = web.AppKey("root", Path)
Handler = Callable[[web.Request], "asyncio.Future[web.StreamResponse]"]


@contextlib.contextmanager
def files_on_the_web(directory: Path, *, index: bool = True) -> Iterator[str]:
    """Serve a directory; the URL of its root, without a slash. With `index`, pages that list it."""
    app = web.Application(middlewares=[_directories] if index else [])
    app.router.add_static("/", directory, show_index=False)
    app[ROOT] = directory
    with serving(app) as url:
        yield url


@contextlib.contextmanager
def serving(app: web.Application, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run an application in a thread of its own; its URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http{'s' if tls else ''}://{host}:{port}"

    url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()


@web.middleware
async def _directories(request: web.Request, handler: Handler) -> web.StreamResponse:
    page = _page(request.app[ROOT], request.path) if request.method == "GET" else None
    if page is None:
        return await handler(request)
    if not request.path.endswith("/"):
        raise web.HTTPMovedPermanently(request.rel_url.raw_path + "/")
    return web.Response(text=page, content_type="text/html")


def _page(root: Path, path: str) -> str | None:
    """An index as nginx writes it: relative links, one to the directory above, others to sort by."""
    directory = root / path.lstrip("/")
    if not directory.is_dir():
        return None
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in directory.iterdir()]
    links = "".join(f'<a href="{quote(name)}">{name}</a>  1  -\n' for name in sorted(names))
    above = '<a href="../">../</a>\n<a href="?C=N">Name</a>\n'
    return f"<html><h1>Index</h1><pre>{above}{links}</pre></html>"
