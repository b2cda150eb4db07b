"""Connections to HTTP servers, kept between requests, from whose sockets a caller reads directly.

What is between a socket and the caller's buffer costs more than the network: each copy of a body
by a client in between takes as much as hashing it. So this is `http.client` alone, with what a
client has to have besides: proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), the
certificates of the system or of `SSL_CERT_FILE`, connections that are used again.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import ipaddress
import os
import ssl
import threading
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from nodeinit.errors import PermanentError

_CONNECT = 10.0  # seconds
_IDLE = 20.0  # seconds that a connection is kept; servers close theirs sooner or later
_MOST_IDLE = 64  # connections of one route
_BROKEN = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@attrs.frozen
class Route:
    """The way to a server: itself, and the proxy before it if there is one.

    `login` is for the proxy; it is a secret.
    """

    scheme: str
    host: str
    port: int
    proxy: tuple[str, int] | None = None
    login: str = attrs.field(default="", repr=False)


class Exchange:
    """A request that was answered. `close` it: then another may use its connection."""

    def __init__(
        self, route: Route, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        self._route = route
        self._connection = connection
        self._answer = answer
        self.status = answer.status

    def header(self, name: str) -> str:
        """The value of a header, of several with commas between; empty if the server gave none."""
        return ", ".join(self._answer.headers.get_all(name) or ())

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer with what comes; less only at the end of the body."""
        return self._answer.readinto(buffer)

    def close(self) -> None:
        """The connection is used again if all of the body came, and given up otherwise."""
        done = self._answer.isclosed() or self._answer.length == 0
        self._answer.close()
        if done and not self._answer.will_close:
            _keep(self._route, self._connection)
        else:
            self._connection.close()


def exchange(
    url: str,
    headers: Mapping[str, str],
    patience: float,
    environ: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Exchange:
    """Ask for a URL; the answer's body is still to come. Redirects are answers.

    `patience` is in seconds without a byte, `environ` stands for this process's environment.
    Raises `OSError` and `HTTPException`, whose texts may name the URL, which may be a secret.
    """
    parts = urlsplit(url)
    route = _route(parts, os.environ if environ is None else environ)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # The host as the URL spells it: that is what was signed.
    sent = {
        "Host": parts.netloc,
        "User-Agent": "nodeinit",
        "Accept-Encoding": "identity",
        **headers,
    }
    if route.proxy is not None and route.scheme == "http":
        target = f"http://{parts.netloc}{target}"
        sent |= _proxy_login(route)
    while True:
        connection, is_fresh = _connected(route)
        try:
            connection.sock.settimeout(patience)
            connection.request(method, target, headers=sent)
            return Exchange(route, connection, connection.getresponse())
        except BaseException as error:
            connection.close()
            # Closed by the server while nobody used it: that is no failure.
            if is_fresh or not isinstance(error, _BROKEN):
                raise


def _route(parts: SplitResult, environ: Mapping[str, str]) -> Route:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    given = {
        name.lower()[: -len("_proxy")]: value
        for upper in (True, False)  # what is in small letters comes first, as for curl
        for name, value in environ.items()
        if name.lower().endswith("_proxy") and name.isupper() is upper and value
    }
    proxy = given.get(parts.scheme) or given.get("all")
    if not proxy or _goes_direct(host, port, given.get("no", "")):
        return Route(parts.scheme, host, port)
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if way.scheme != "http" or not way.hostname:
        raise PermanentError(
            f"unsupported: the proxy for {parts.scheme} that the environment names is not of the "
            "kind http://HOST:PORT"
        )
    login = f"{unquote(way.username)}:{unquote(way.password or '')}" if way.username else ""
    return Route(parts.scheme, host, port, (way.hostname, way.port or 80), login)


def _goes_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether `NO_PROXY` names a host: it, its port, a domain above it, its network, or all (`*`)."""
    for name in (one.strip().lower().lstrip(".") for one in no_proxy.split(",")):
        if name in ("*", host, f"{host}:{port}") or (name and host.endswith(f".{name}")):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False


def _proxy_login(route: Route) -> dict[str, str]:
    if not route.login:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(route.login.encode()).decode()}"}


_idle: dict[Route, list[tuple[float, http.client.HTTPConnection]]] = {}
_lock = threading.Lock()


def _connected(route: Route) -> tuple[http.client.HTTPConnection, bool]:
    """A connection, and whether it is a new one."""
    since = time.monotonic() - _IDLE
    with _lock:
        kept = _idle.get(route, [])
        while kept:
            when, connection = kept.pop()
            if when > since:
                return connection, False
            connection.close()
    host, port = route.proxy or (route.host, route.port)
    if route.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT, context=_context(os.environ.get("SSL_CERT_FILE", ""))
        )
        if route.proxy is not None:
            connection.set_tunnel(route.host, route.port, headers=_proxy_login(route))
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_CONNECT)
    connection.connect()
    return connection, True


def _keep(route: Route, connection: http.client.HTTPConnection) -> None:
    with _lock:
        kept = _idle.setdefault(route, [])
        if len(kept) < _MOST_IDLE:
            kept.append((time.monotonic(), connection))
            return
    connection.close()


@functools.lru_cache(maxsize=4)
def _context(certificates: str) -> ssl.SSLContext:
    """Made once: reading the certificates of a system takes a while. OpenSSL reads the variable."""
    return ssl.create_default_context()
