"""The torrents that one host takes part in, and their files on its disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from nodeinit.download.swarm.session import Session
from nodeinit.download.swarm.torrents import alias, parsed
from nodeinit.download.swarm.words import Endpoint


@attrs.define(eq=False)
class _Part:
    """One torrent here: `flushing` once all of it has come, `whole` once that is on the disk."""

    handle: Any
    name: str
    seed: bool
    flushing: bool = False
    whole: bool = False


class Hold:
    """The files are in `folder`, each under its alias: links to those that are being published.

    So they can be given to others whatever becomes of staging. For one thread at a time.
    """

    def __init__(self, folder: Path, token: str, session: Session) -> None:
        self.folder = folder
        self._token = token
        self._session = session
        self._parts: dict[str, _Part] = {}

    def path(self, path: str) -> Path:
        """Where a file of the model is here."""
        return self.folder / alias(self._token, path)

    def keep(self, path: str, source: Path) -> None:
        """Link a verified file into the folder. Raises `OSError` where there are no links."""
        target = self.path(path)
        if target.exists() and target.samefile(source):
            return
        self.drop(path)
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        target.hardlink_to(source)

    def is_in(self, path: str) -> bool:
        """Whether the torrent of a file is taken part in."""
        return path in self._parts

    def give(self, path: str, torrent: bytes) -> None:
        """Offer a verified file that is in the folder to the others."""
        self._add(path, torrent, seed=True)

    def take(self, path: str, torrent: bytes) -> None:
        """Begin to take a file from the others."""
        self._add(path, torrent, seed=False)

    def drop(self, path: str) -> None:
        """Take no more part in the torrent of a file."""
        part = self._parts.pop(path, None)
        if part is not None:
            self._session.remove(part.handle)

    def arrived(self) -> frozenset[str]:
        """The files that came whole from others and are written: their bytes can be read back."""
        for handle in self._session.flushed():
            for part in self._parts.values():
                part.whole = part.whole or (part.flushing and part.handle == handle)
        for part in self._parts.values():
            if not part.seed and not part.flushing and part.handle.status().is_seeding:
                part.flushing = True
                part.handle.flush_cache()  # that all has come does not say that it is written
        return frozenset(path for path, part in self._parts.items() if part.whole)

    def received(self) -> dict[str, int]:
        """How many bytes of each file that is being taken have come."""
        return {
            path: part.handle.status().total_done
            for path, part in self._parts.items()
            if not part.seed
        }

    def connect(self, me: Endpoint, peers: Iterable[Endpoint]) -> None:
        """Connect every torrent to peers that it is not connected to: libtorrent forgets them.

        Of each pair one connects, or they would refuse each other's second connection for ever.
        """
        mine = [peer for peer in peers if peer < me]
        self._session.allow(peers)
        for part in self._parts.values():
            known = {peer.ip for peer in part.handle.get_peer_info()} if mine else set()
            for peer in mine:
                if peer not in known:
                    part.handle.connect_peer(peer)

    def _add(self, path: str, torrent: bytes, *, seed: bool) -> None:
        name = alias(self._token, path)
        info = parsed(torrent)
        if info.num_files() != 1 or info.name() != name or not info.priv():
            raise RuntimeError(f"the torrent of {path} is not one of this swarm")
        if not seed:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).unlink()
        handle = self._session.add(torrent, self.folder, seed=seed)
        self._parts[path] = _Part(handle, name, seed)
