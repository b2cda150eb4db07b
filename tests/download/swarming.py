"""A swarm of plain processes: each host is one, with a store of its own; the driver is the test.

Beside them an origin: an HTTP server in this process that counts what it gives.
"""

from __future__ import annotations

import contextlib
import http.server
import multiprocessing
import multiprocessing.connection
import os
import random
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.sources.local import LocalSource
from nodeinit.download.store import Shelf, published_path
from nodeinit.download.swarm.coordinator import Coordinator
from nodeinit.download.swarm.member import Member
from tests.download.trees import tensors

ALL = NodeModelDownloadable.MODEL_AND_TOKENIZER
MIB = 1024 * 1024
_spawn = multiprocessing.get_context("spawn")


def make_model(directory: Path, files: int, size: int, seed: int = 0) -> Manifest:
    """A model of `files` weight files of about `size` bytes that cannot be compressed."""
    draw = random.Random(seed)
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / "empty.txt").write_bytes(b"")
    for number in range(files):
        name = f"model-{number:05}.safetensors"
        (directory / name).write_bytes(tensors(draw.randbytes(size + number)))
    made = LocalSource().manifest(str(directory), "org/model")
    sums = "".join(f"{file.sha256}  {file.path}\n" for file in made.files)
    (directory / "SHA256SUMS").write_text(sums)
    return made


# -- the origin -------------------------------------------------------------------------------------


class Origin:
    """Serves a directory, at most `rate` bytes per second in all, and counts the bytes it sent."""

    def __init__(self, directory: Path, address: str = "127.0.0.1", rate: float = 0) -> None:
        self.sent = 0
        self._lock = threading.Lock()
        self._free = 0.0
        self.rate = rate
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def _answer(self, *, body: bool) -> None:
                path = directory / self.path.split("?")[0].lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                size = path.stat().st_size
                first, last = 0, size - 1
                asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                if asked:
                    first, last = int(asked[1]), min(int(asked[2] or last), last)
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", f'"{size}-{path.stat().st_mtime_ns}"')
                self.send_header("Content-Length", str(last - first + 1))
                self.end_headers()
                if not body:
                    return
                with path.open("rb") as file:
                    file.seek(first)
                    left = last - first + 1
                    while left > 0:
                        chunk = file.read(min(left, 64 * 1024))
                        origin._pass(len(chunk))
                        self.wfile.write(chunk)
                        left -= len(chunk)

            def log_message(self, *_: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _pass(self, count: int) -> None:
        with self._lock:
            self.sent += count
            if self.rate:
                self._free = max(self._free, time.monotonic()) + count / self.rate
                wait = self._free - time.monotonic()
        if self.rate and wait > 0:
            time.sleep(wait)


# -- a host -----------------------------------------------------------------------------------------


@attrs.frozen
class Task:
    """What a host of a swarm has to do."""

    name: str
    store: str
    manifest: Manifest
    address: str = "127.0.0.1"
    stall: float = 20.0
    token: str = "token"
    swarm: bool = True
    mode: NodeModelDownloadable = ALL
    without_wheel: bool = False


def host(task: Task, pipe: Connection) -> None:
    """The process of a host: answers `report` to every `orders`, and in the end the outcome."""
    try:
        pipe.send(("end", _host(task, pipe)))
    except BaseException as error:
        pipe.send(("failed", f"{error!r}\n{traceback.format_exc()}"))


def _host(task: Task, pipe: Connection) -> dict[str, Any]:
    path = published_path(task.store, task.manifest)
    shelf = Shelf.at(path, task.manifest)
    if task.without_wheel:
        import sys

        sys.modules["libtorrent"] = None  # type: ignore[assignment]
    began = time.monotonic()
    member = None
    if task.swarm:
        member = Member(
            shelf.relay_scratch(task.name),
            task.manifest.select(task.mode),
            token=task.token,
            address=task.address,
            stall=task.stall,
        )
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            if pipe.poll(0.1):
                assert member is not None
                member.obey(pipe.recv())
                pipe.send(("report", member.report()))

    talking = threading.Thread(target=talk)
    if member is not None:
        pipe.send(("report", member.report()))
        talking.start()
    try:
        result = bring(
            task.manifest,
            task.mode,
            path,
            name=task.name,
            relay=member,
            on_progress=lambda done, *_: member.note(done) if member else None,
            settings=DownloadSettings(allow_http=True),
        )
        seconds = time.monotonic() - began
        if member is not None:
            for file in task.manifest.select(task.mode):
                member.finished(file, path / file.path)
            member.linger(lambda: False)
    finally:
        stop.set()
        if member is not None:
            talking.join()
            member.close()
    return {
        "seconds": seconds,
        "fetched": result.fetched,
        "alone": member.alone if member else "",
        "rss": _peak_rss(),
    }


def _peak_rss() -> float:
    """MiB that this process had at most; `ru_maxrss` would count what its parent had as well."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


# -- the driver -------------------------------------------------------------------------------------


@attrs.define
class Fleet:
    """Processes of a swarm under way, driven until all have ended."""

    tasks: Sequence[Task]
    coordinator: Coordinator
    target: Callable[[Task, Connection], None] = host
    kills: int = 0
    outcomes: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    done: dict[str, int] = attrs.field(factory=dict)
    _alive: dict[str, tuple[Any, Connection]] = attrs.field(factory=dict)

    def start(self, task: Task) -> None:
        mine, theirs = _spawn.Pipe()
        process = _spawn.Process(target=self.target, args=(task, theirs), daemon=True)
        process.start()
        theirs.close()
        self._alive[task.name] = (process, mine)

    def kill(self, name: str, *, for_good: bool = False) -> None:
        """Kill a host's process, and unless it is for good start it anew, as `Fetches` does."""
        process, pipe = self._alive.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        pipe.close()
        self.kills += 1
        if for_good:
            self.coordinator.left(name)
            return
        self.coordinator.gone(name)
        self.start(next(task for task in self.tasks if task.name == name))

    def run(self, limit: float = 120, on_report: Callable[[Fleet], None] | None = None) -> None:
        for task in self.tasks:
            self.start(task)
        end = time.monotonic() + limit
        try:
            while self._alive:
                assert time.monotonic() < end, f"only {sorted(self.outcomes)} ended"
                pipes = {pipe: name for name, (_, pipe) in self._alive.items()}
                for pipe in multiprocessing.connection.wait(list(pipes), timeout=1):
                    self._answer(pipes[pipe], pipe)  # type: ignore[index,arg-type]
                if on_report is not None:
                    on_report(self)
                time.sleep(0.05)
        finally:
            for process, _ in self._alive.values():
                process.kill()
                process.join()

    def _answer(self, name: str, pipe: Connection) -> None:
        what, value = pipe.recv()
        if what == "report":
            self.done[name] = value.done
            orders = self.coordinator.heard(name, value, time.monotonic())
            with contextlib.suppress(BrokenPipeError):  # it has ended meanwhile
                pipe.send(orders)
            return
        process, _ = self._alive.pop(name)
        process.join()
        self.coordinator.left(name)
        assert what == "end", f"{name}: {value}"
        self.outcomes[name] = value


def fleet(manifest: Manifest, origin: Origin, stores: Path, hosts: int, **changes: Any) -> Fleet:
    tasks = [
        Task(
            f"host-{n}",
            str(stores / f"store-{n}"),
            attrs.evolve(manifest, source=f"{origin.url}/"),
            **changes,
        )
        for n in range(hosts)
    ]
    return Fleet(tasks, Coordinator([task.name for task in tasks]))
