"""One file as a torrent: made from bytes that were verified, the same on every host of a swarm."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

_SMALLEST = 16 * 1024  # the least that libtorrent takes
_LARGEST = 4 * 1024 * 1024  # a file of 1 TB has 250 000 pieces of this size
_PIECES = 64  # so many make a host's first piece come soon


def alias(token: str, path: str) -> str:
    """What a file is called in a swarm: it says nothing of the model, nor can it be guessed."""
    return hashlib.sha256(f"{token}/{path}".encode()).hexdigest()[:32]


def piece_size(size: int) -> int:
    """Bytes of a piece of a file of so many bytes: a power of two."""
    piece = _SMALLEST
    while piece < _LARGEST and piece * _PIECES < size:
        piece *= 2
    return piece


def libtorrent() -> Any:
    """The library, imported when it is needed: it is an optional one, and of 25 MiB."""
    return importlib.import_module("libtorrent")


def make_torrent(folder: Path, name: str) -> bytes:
    """The torrent of the file `name` in `folder`; reads the whole file.

    Private, hybrid (v1 and v2), and without a date: two hosts make the same one of the same bytes.
    """
    lt = libtorrent()
    size = (folder / name).stat().st_size
    making = lt.create_torrent([lt.create_file_entry(name, size)], piece_size(size))
    making.set_priv(True)
    making.set_creation_date(0)
    lt.set_piece_hashes(making, str(folder))
    encoded: bytes = lt.bencode(making.generate())
    return encoded


def parsed(torrent: bytes) -> Any:
    """What libtorrent makes of an encoded torrent. Raises `RuntimeError` when it is none."""
    lt = libtorrent()
    return lt.torrent_info(lt.bdecode(torrent))
