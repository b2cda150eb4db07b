"""What a member of a swarm and the driver tell each other. All of it can be pickled."""

from __future__ import annotations

from typing import TypeAlias

import attrs

Endpoint: TypeAlias = tuple[str, int]
"""The address and port that a member listens on."""

Torrents: TypeAlias = tuple[tuple[str, bytes], ...]
"""Pairs of a file's path and its torrent, encoded."""


@attrs.frozen
class Report:
    """How a member is.

    `life` names its process: another one has to be told everything again. `wants` are the paths
    that it needs, `has` those that are verified there, both with their bytes; `done` grows while it
    brings anything. `made` are torrents of files it has, until they come back in `Orders`; `got` is
    how many torrents it was given. `alone` says why it takes nothing from the swarm any more.
    """

    life: str
    endpoint: Endpoint | None = None
    wants: frozenset[str] = frozenset()
    wants_bytes: int = 0
    has: frozenset[str] = frozenset()
    has_bytes: int = 0
    done: int = 0
    made: Torrents = ()
    got: int = 0
    ready: bool = False
    alone: str = ""


@attrs.frozen
class Orders:
    """What a member should do.

    Who `lead`s brings from the origin what no other has. `torrents` are those made since the `got`
    of the report that is answered, `make` the files whose torrents are wanted of this member.
    `peers` are the others; nobody else may connect. `held` are the files that some member has
    whole, this one perhaps. `pulse` changes while the leader gets on. `idle` files are on every
    host, and need not be offered; when `over`, nobody needs anything of this member any more.
    """

    lead: bool = False
    torrents: Torrents = ()
    make: frozenset[str] = frozenset()
    peers: tuple[Endpoint, ...] = ()
    held: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    pulse: int = 0
    over: bool = False
