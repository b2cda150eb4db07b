"""The end of a swarm on one host: takes files from the others, gives them what is here.

member = Member(folder, files, token=…, address="10.0.0.7", stall=60)
orders = coordinator.heard("host-1", member.report(), now)    # again and again, by the driver
member.obey(orders)
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import attrs

from nodeinit.download.copying import link
from nodeinit.download.disk import remove
from nodeinit.download.manifest import ManifestFile, total_size
from nodeinit.download.store import read_back
from nodeinit.download.swarm.hold import Hold
from nodeinit.download.swarm.pace import Pace
from nodeinit.download.swarm.session import Session, why_not
from nodeinit.download.swarm.torrents import make_torrent
from nodeinit.download.swarm.words import Endpoint, Orders, Report
from nodeinit.download.watch import ShouldStop, Stopped, Watch

log = logging.getLogger(__name__)

_LOOK = 0.1  # seconds between two looks at what has come
_LEAVE = 2.0  # seconds for the threads to end
_CONNECT = 0.5  # seconds between two attempts to reach a peer


class Member:
    """Implements `Relay`. Never fails a fetch: what cannot be had here comes from the source."""

    def __init__(
        self,
        folder: Path,
        files: Sequence[ManifestFile],
        *,
        token: str,
        address: str,
        stall: float,
    ) -> None:
        """`folder` is its own, on the file system of the store; `stall` is in seconds."""
        self._files = {file.path: file for file in files if file.size}
        self._stall = stall
        self._lock = threading.Lock()
        self._life = uuid4().hex
        self._alone = why_not()
        self._orders = Orders()
        self._heard = False
        self._torrents: dict[str, bytes] = {}
        self._has: dict[str, ManifestFile] = {}
        self._made: dict[str, bytes] = {}
        self._taking: frozenset[str] = frozenset()
        self._arrived: frozenset[str] = frozenset()
        self._done = 0
        self._ready = False
        self._closing = threading.Event()
        self._endpoint: Endpoint | None = None
        self._threads: list[threading.Thread] = []
        if not self._alone:
            self._open(folder, token, address)

    def _open(self, folder: Path, token: str, address: str) -> None:
        try:
            for left in folder.parent.glob(f"{folder.name.rpartition('@')[0]}@*"):
                remove(left)  # of an earlier process of this job, which was killed
            folder.mkdir(parents=True)
            self._session = Session(address)
        except OSError as error:
            self._alone = str(error)
            remove(folder)
            return
        self._hold = Hold(folder, token, self._session)
        self._endpoint = address, self._session.port
        for work in (self._tend, self._make):
            thread = threading.Thread(target=self._safely, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    # -- what the driver asks --------------------------------------------------------------------

    def report(self) -> Report:
        """How this host is."""
        with self._lock:
            return Report(
                life=self._life,
                endpoint=self._endpoint,
                wants=frozenset(self._files),
                wants_bytes=total_size(self._files.values()),
                has=frozenset(self._has),
                has_bytes=total_size(self._has.values()),
                done=self._done,
                made=tuple(self._made.items()),
                got=len(self._torrents),
                ready=self._ready or len(self._has) == len(self._files),
                alone=self._alone,
            )

    def obey(self, orders: Orders) -> None:
        """Take note of the answer to a report. Answers to older reports may be repeated."""
        with self._lock:
            self._heard = True
            self._orders = attrs.evolve(orders, torrents=())
            for path, torrent in orders.torrents:
                self._torrents.setdefault(path, torrent)
                self._made.pop(path, None)

    def note(self, done: int) -> None:
        """So many bytes are here by now, wherever they came from: others wait while this grows."""
        self._done = done

    @property
    def alone(self) -> str:
        """Why nothing is taken from the swarm any more; empty while it may be."""
        return self._alone

    # -- what the fetch asks ---------------------------------------------------------------------

    def bring(
        self, ref: str, files: Sequence[ManifestFile], directory: Path, watch: Watch
    ) -> Sequence[ManifestFile]:
        """Take files from others while that gets on; a leader only what somebody has already."""
        lacking = {file.path: file for file in files if file.path in self._files}
        brought: list[ManifestFile] = []
        pace = Pace(self._stall, time.monotonic())
        self._taking = frozenset(lacking)
        self._ready = True
        while lacking and not self._alone:
            for path in self._arrived & lacking.keys():
                file = lacking.pop(path)
                if self._verified(file, directory, watch):
                    brought.append(file)
            with self._lock:
                received = self._hold.received()
            came = sum(received.get(path, 0) for path in lacking) + total_size(brought)
            watch.at(came)
            if lacking and self._is_over(pace, came, frozenset(lacking)):
                break
            self._closing.wait(_LOOK)
        self._taking = frozenset()
        return brought

    def finished(self, file: ManifestFile, path: Path) -> None:
        """Keep a verified file for the others."""
        if self._endpoint is None or file.path not in self._files:
            return
        try:
            with self._lock:
                self._hold.keep(file.path, path)
                self._has[file.path] = file
        except OSError as error:
            log.warning("swarm: %s cannot be given to others: %s", path, error)

    def linger(self, should_stop: ShouldStop) -> None:
        """Give to the others until none needs anything. Raises `Stopped`."""
        while self._endpoint is not None and not (self._heard and self._orders.over):
            if should_stop():
                raise Stopped
            self._closing.wait(_LOOK)

    def close(self) -> None:
        """End all of it; nothing of it stays on the disk."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_LEAVE)  # one that reads a large file now ends by itself
        if self._endpoint is not None:
            self._endpoint = None
            self._session.close()
            with contextlib.suppress(OSError):
                remove(self._hold.folder)

    # -- inside ----------------------------------------------------------------------------------

    def _is_over(self, pace: Pace, came: int, lacking: frozenset[str]) -> bool:
        """Whether to leave the rest to the source."""
        now, orders = time.monotonic(), self._orders
        held = orders.held & lacking
        pace.look(now, received=came, held=held, pulse=orders.pulse, lead=orders.lead)
        if pace.should_lead(now, offered=bool(self._torrents.keys() & lacking)):
            return True
        if pace.is_stalled(now) and not orders.lead:
            self._alone = f"nothing came from the other hosts for {self._stall:g} s"
            log.warning("swarm: %s; going to the source", self._alone)
            return True
        return False

    def _verified(self, file: ManifestFile, directory: Path, watch: Watch) -> bool:
        """Read back a file that came, and link it into staging if it is right."""
        here = attrs.evolve(file, path=self._hold.path(file.path).name)
        found = read_back(self._hold.folder, here, "", lambda _file, _count: watch.check())
        if found.problem:
            log.warning("swarm: %s %s; it is brought from the source", file.path, found.problem)
            return False
        return link(here, self._hold.folder, directory / file.path)

    def _safely(self, work: Callable[[], None]) -> None:
        """Run a thread's work; the swarm is over for this host when it fails."""
        try:
            work()
        except Exception as error:
            log.warning("swarm: %s", error, exc_info=error)
            self._alone = self._alone or f"{type(error).__name__}: {error}"

    def _tend(self) -> None:
        """Begin what can begin, see what has come, keep connected."""
        connected = 0.0
        while not self._closing.wait(_LOOK):
            with self._lock:
                orders, torrents = self._orders, dict(self._torrents)
                has, taking = frozenset(self._has), self._taking
                for path, torrent in torrents.items():
                    if path in orders.idle:
                        self._hold.drop(path)
                    elif self._hold.is_in(path):
                        if path not in has and path not in taking:
                            self._hold.drop(path)  # given up: it comes from the source
                    elif path in has:
                        self._hold.give(path, torrent)
                    elif path in taking:
                        self._hold.take(path, torrent)
                self._arrived = self._hold.arrived()
                if self._endpoint and time.monotonic() - connected > _CONNECT:
                    connected = time.monotonic()
                    self._hold.connect(self._endpoint, orders.peers)

    def _make(self) -> None:
        """Make the torrents that are wanted of this host, or will be as it leads."""
        while not self._closing.wait(_LOOK):
            with self._lock:
                bare = self._has.keys() - self._torrents.keys() - self._made.keys()
                mine = bare if self._orders.lead else bare & self._orders.make
            for path in sorted(mine):
                torrent = make_torrent(self._hold.folder, self._hold.path(path).name)
                with self._lock:
                    self._made[path] = torrent
