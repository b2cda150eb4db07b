"""The listing of a prefix, with an end even where the server gives it none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.download.paths import check_paths
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from nodeinit.download.sources.places import Place
    from nodeinit.download.watch import ShouldStop

MOST_FILES = 200_000
"""More than any model has; a listing that goes on is refused."""

MOST_BYTES = 1 << 50
"""A petabyte: a size beyond it is a lie."""

_PAGE = 1000
_LOOK = 0.2  # seconds between two questions whether to stop


@attrs.frozen
class Entry:
    """One file of a listing: its path below the prefix, its size in bytes, its ETag as given."""

    path: str
    size: int
    etag: str


def listed(
    store: Any, place: Place, patience: float, should_stop: ShouldStop | None
) -> list[Entry]:
    """All files below a prefix, sorted; the empty objects that mark directories are no files.

    Lets errors of `obstore` through. Raises `Stopped`; `PermanentError` for names that are unsafe,
    sizes that cannot be and a listing without an end; `TemporaryError` if nothing new comes for
    `patience` seconds.
    """
    # A loop in a thread of its own: the caller's may be running, and what never ends is cancelled.
    with ThreadPoolExecutor(1, thread_name_prefix="listing") as pool:
        metas = pool.submit(asyncio.run, _collect(store, place, patience, should_stop)).result()
    start = len(place.prefix) + 1 if place.prefix else 0
    strange = next((key for key, _, _ in metas if f"{key}/"[:start] != place.key("")), None)
    if strange is not None:
        raise PermanentError(
            f"unsupported: the server lists {strange!r}, which is not below {place}; "
            "is the endpoint an object store?"
        )
    entries = _without_markers(Entry(meta[0][start:], meta[1], meta[2]) for meta in metas)
    for entry in entries:
        if not 0 <= entry.size <= MOST_BYTES:
            raise PermanentError(
                f"unsupported: {place} says that {entry.path!r} has {entry.size} bytes; "
                "no file has such a size"
            )
    check_paths(entry.path for entry in entries)
    return entries


async def _collect(
    store: Any, place: Place, patience: float, should_stop: ShouldStop | None
) -> list[tuple[str, int, str]]:
    import obstore

    stream = obstore.list(store, place.prefix or None, chunk_size=_PAGE)
    found: list[tuple[str, int, str]] = []
    while True:
        page = await _next(stream, place, patience, should_stop)
        if page is None:
            return found
        found += [(meta["path"], meta["size"], meta["e_tag"] or "") for meta in page]
        if len(found) > MOST_FILES:
            raise PermanentError(
                f"unsupported: {place} has more than {MOST_FILES} files; is it the directory of "
                "one model?"
            )


async def _next(stream: Any, place: Place, patience: float, should_stop: ShouldStop | None) -> Any:
    waited = 0.0
    task = asyncio.ensure_future(anext(stream, None))
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK))[0]:
            if should_stop is not None and should_stop():
                raise Stopped
            waited += _LOOK
            if waited > patience:
                raise TemporaryError(
                    f"stalled: the listing of {place} brings nothing new for {patience:g} s"
                )
        return task.result()
    finally:
        task.cancel()


def _without_markers(entries: Iterable[Entry]) -> list[Entry]:
    """What is left without the empty objects that some tools leave for a directory.

    Their keys end in a slash, which `obstore` takes away: they are empty and others lie below them.
    """
    known = sorted(entries, key=lambda entry: entry.path)
    directories = {
        entry.path[:end]
        for entry in known
        for end, character in enumerate(entry.path)
        if character == "/"
    }
    return [
        entry
        for entry in known
        if entry.path and not (entry.size == 0 and entry.path in directories)
    ]
