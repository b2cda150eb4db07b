"""A proxy on loopback that stands before a real HTTP server and does to its answers what networks do.

with FaultProxy("http://127.0.0.1:8333") as proxy:
    proxy.add(refuse(429, times=2, retry_after=1))
    proxy.add(flip(byte=70_000, path=r"model-00001"))
    client(proxy.url)
    assert proxy.sent < 2 * size

It listens from the constructor on, in a thread of its own, so that tests may be blocking. Requests
pass unchanged, their `Host` too: signatures stay valid. A fault strikes as often as its `times`
says (`None`: always), only requests whose method and target it matches; the first that matches is
taken.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

from tests.download.faults import Fault, flip, hang_up, refuse, reset, stall, truncate

__all__ = ["FaultProxy", "flip", "hang_up", "refuse", "reset", "stall", "truncate"]

Head = tuple[str, dict[str, str]]
_PIECE = 64 * 1024


@attrs.frozen
class Seen:
    """One request that came: what it asked for, and the headers it had (names in lower case)."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


class FaultProxy:
    """See the module. `latency` (seconds before each answer) and `bandwidth` (bytes per second of
    all answers together) may be set at any time.
    """

    def __init__(
        self, upstream: str, *, latency: float = 0.0, bandwidth: float | None = None
    ) -> None:
        self._upstream = urlsplit(upstream)
        self.latency = latency
        self.bandwidth = bandwidth
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.sent = 0  # bytes of bodies
        self._free_at = 0.0  # when the line is free again
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def add(self, *faults: Fault) -> None:
        """Add faults to those there are."""
        self.faults.extend(faults)

    def forget(self) -> None:
        """No more faults, nothing seen, nothing sent. Connections that are stalled stay so."""
        self.faults, self.seen, self.sent = [], [], 0

    def count(self, method: str = "GET", path: str = "") -> int:
        """How many requests came with a method (a pattern) and a target that has `path` in it."""
        seen = list(self.seen)
        return sum(bool(re.fullmatch(method, s.method) and re.search(path, s.target)) for s in seen)

    def close(self) -> None:
        """End every connection, and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener, limit=1 << 20)
        )
        self._started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow on this connection."""
        first, headers = await _head(reader)
        method, target, _ = first.split(" ", 2)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append(Seen(method, target, headers))
        await asyncio.sleep(self.latency)
        fault = next((f for f in self.faults if f.strikes(method, target)), None)
        if fault is not None and fault.kind == "hang_up":
            fault.struck += 1
            return _reset(writer)
        if fault is not None and fault.kind == "refuse":
            fault.struck += 1
            answer = {"Content-Length": str(len(fault.body)), **fault.headers}
            writer.write(_written(f"HTTP/1.1 {fault.status} Fault", answer) + fault.body)
            await writer.drain()
            return True
        server = await asyncio.open_connection(
            self._upstream.hostname, self._upstream.port, limit=1 << 20
        )
        try:
            server[1].write(_written(first, headers | {"connection": "close"}) + body)
            return await self._pass_on(method, server[0], writer, fault)
        finally:
            server[1].close()

    async def _pass_on(
        self,
        method: str,
        server: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fault: Fault | None,
    ) -> bool:
        first, headers = await _head(server)
        while first.split(" ")[1] == "100":
            first, headers = await _head(server)
        empty = method == "HEAD" or first.split(" ")[1] in ("204", "304")
        known = empty or "content-length" in headers
        headers["connection"] = "keep-alive" if known else "close"
        writer.write(_written(first, headers))
        start = int(re.sub(r"bytes (\d+)-.*", r"\1", headers.get("content-range", "bytes 0-")))
        place = 0
        while not empty:
            most = _PIECE
            if fault is not None and fault.kind != "flip":
                most = min(_PIECE, fault.at - place)
                if most <= 0:
                    return await self._break(fault, writer)
            piece = await server.read(most)
            if not piece:
                break
            if fault is not None and fault.kind == "flip":
                piece = _flipped(piece, fault, start + place)
            await self._send(piece, writer)
            place += len(piece)
        await writer.drain()
        return known

    async def _break(self, fault: Fault, writer: asyncio.StreamWriter) -> bool:
        fault.struck += 1
        await writer.drain()
        if fault.kind == "stall":
            await asyncio.Event().wait()
        return _reset(writer) if fault.kind == "reset" else False

    async def _send(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if self.bandwidth:
            now = self._loop.time()
            self._free_at = max(now, self._free_at) + len(piece) / self.bandwidth
            await asyncio.sleep(self._free_at - now)
        self.sent += len(piece)  # first: whoever has the bytes may look
        writer.write(piece)
        await writer.drain()


async def _head(reader: asyncio.StreamReader) -> Head:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return lines[0], {name.strip().lower(): value.strip() for name, value in pairs}


def _written(first: str, headers: Mapping[str, str]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _flipped(piece: bytes, fault: Fault, start: int) -> bytes:
    index = fault.at - start
    if not 0 <= index < len(piece):
        return piece
    fault.struck += 1
    return piece[:index] + bytes([piece[index] ^ 1]) + piece[index + 1 :]


def _reset(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
