"""A page on loopback that is sent again when it changes: by server-sent events, or by asking.

It shows nothing that the journal does not, so it has no password; but it answers only on loopback and
only to whoever asks for it by that name: a page of somebody else cannot read it by a name of its own
that leads here (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"

MOST_LISTENERS = 16
"""So many are sent events at once; others are told to ask."""

_BEAT = 10.0  # seconds; a listener that is gone is found out by what cannot be sent to it
_FAREWELL = 2.0  # seconds that listeners are given at the end to have the last page


class PageServer:
    """Serves one page: `publish` it as often as it changes, `close` at the end."""

    def __init__(self, port: int = 0) -> None:
        self.change = threading.Condition()
        self.page, self.content = "", ""
        self.version, self.over, self.closing = 0, False, False
        self.listeners = 0
        handler = type("Handler", (_Handler,), {"pages": self})
        self._http = _Server((HOST, port), handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.1,), name="nodeinit-page", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}/"

    def publish(self, page: str, content: str, *, over: bool) -> None:
        """Show this from now on: the whole page, and that part of it which changes."""
        with self.change:
            self.page, self.content, self.over = page, content, over
            self.version += 1
            self.change.notify_all()

    def close(self) -> None:
        """Let everybody have the last page, and stop. Safe to repeat."""
        until = time.monotonic() + _FAREWELL
        with self.change:
            self.closing = True
            self.change.notify_all()
            while self.listeners and time.monotonic() < until:
                self.change.wait(until - time.monotonic())
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a listener that does not read must not hold up the end

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked is gone: that is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    pages: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nodeinit", ""
    timeout = 30.0

    def do_GET(self) -> None:
        """Answer with the page, with the part of it that changes, or with what changes as it does."""
        if not self._asked_by_name():
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", "ask for it on loopback\n")
            return
        match self.path.partition("?")[0]:
            case "/":
                self._answer(HTTPStatus.OK, "text/html", self.pages.page)
            case "/content":
                self._content()
            case "/events":
                self._events()
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is only /\n")

    def do_HEAD(self) -> None:
        """The same without the page."""
        self.do_GET()

    def _asked_by_name(self) -> bool:
        port = self.pages.port
        return self.headers.get("Host", "") in (f"{HOST}:{port}", f"localhost:{port}")

    def _content(self) -> None:
        with self.pages.change:
            content, version, over = self.pages.content, self.pages.version, self.pages.over
        tag = f'"{version}"'
        known = self.headers.get("If-None-Match") == tag
        state = HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK
        text = "" if known else content
        self._answer(state, "text/html", text, {"ETag": tag, "X-Over": str(over).lower()})

    def _answer(
        self, status: HTTPStatus, kind: str, text: str, more: dict[str, str] | None = None
    ) -> None:
        data = text.encode("utf-8", "replace")
        self.send_response(status)
        self._common(f"{kind}; charset=utf-8")
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD" and status is not HTTPStatus.NOT_MODIFIED:
            self.wfile.write(data)

    def _common(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _events(self) -> None:
        pages = self.pages
        with pages.change:
            if pages.listeners >= MOST_LISTENERS or self.command == "HEAD":
                full = True
            else:
                full = False
                pages.listeners += 1
        if full:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", "ask for /content\n")
            return
        self.close_connection = True
        try:
            self.send_response(HTTPStatus.OK)
            self._common("text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self._send_changes()
        except OSError:
            pass  # the listener is gone
        finally:
            with pages.change:
                pages.listeners -= 1
                pages.change.notify_all()

    def _send_changes(self) -> None:
        pages, seen = self.pages, -1
        while True:
            with pages.change:
                if pages.version == seen and not pages.closing:
                    pages.change.wait(_BEAT)
                version, over, closing = pages.version, pages.over, pages.closing
                content = pages.content
            if version != seen:
                news = {"version": version, "over": over, "content": content}
                self.wfile.write(f"data: {json.dumps(news)}\n\n".encode())
            elif not closing:
                self.wfile.write(b": still there\n\n")
            self.wfile.flush()
            seen = version
            if over or closing:
                with contextlib.suppress(OSError):
                    self.wfile.write(b"event: end\ndata: {}\n\n")
                    self.wfile.flush()
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody wants to read who asked."""
