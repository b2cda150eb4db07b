"""A web server with a model, from which nothing but nodeinit would fetch it."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Model:
    """What is served: `url`, and the paths that were asked for. `gone` answers 404 to everything."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.gone = False


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[Model]:
    model = Model("")

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            model.asked.append(self.path)
            if model.gone:
                self.send_error(404)
            else:
                super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model.url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
