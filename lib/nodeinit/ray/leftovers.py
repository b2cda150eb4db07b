"""What nodes left on the cluster whose process is no more. Blocking calls.

Only what has a note of ours is looked at. A group that somebody else made, or that a callback or
Ray Serve brought, has none, and is never in here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs

from nodeinit.ray import group_notes, owners, workers
from nodeinit.ray.group_notes import Note
from nodeinit.ray.group_rows import Row
from nodeinit.ray.owners import Owner
from nodeinit.ray.workers import Trace


class Kind(enum.StrEnum):
    """What is left over: a `GROUP` holds resources, a `FETCH` may have left files half-written.

    A `NOTE` says only that there was a group, which Ray has removed itself.
    """

    GROUP = "group"
    FETCH = "fetch"
    NOTE = "note"


@attrs.frozen
class Leftover:
    """Something of a process that is no more, and `why` one can say so.

    `note` and, if Ray still has it, `row` are those of a group; `trace` is that of a fetch.
    """

    kind: Kind
    name: str
    owner: Owner
    why: str
    note: Note | None = None
    row: Row | None = None
    trace: Trace | None = None


def leftovers(rows: Iterable[Row]) -> tuple[Leftover, ...]:
    """All that is left over on the cluster, whose live groups are `rows`."""
    notes, traces = group_notes.all_notes(), workers.traces()
    known = [note.owner for note in notes] + [trace.owner for trace in traces.values()]
    gone = owners.gone(known)
    return (
        *_of_groups(tuple(rows), notes, gone),
        *(
            Leftover(Kind.FETCH, name, trace.owner, gone[trace.owner], trace=trace)
            for name, trace in traces.items()
            if trace.owner in gone
        ),
    )


def _of_groups(
    rows: tuple[Row, ...], notes: list[Note], gone: dict[Owner, str]
) -> Iterable[Leftover]:
    for note in notes:
        if note.owner not in gone:
            continue
        row = next((row for row in rows if note.means(row)), None)
        # Two processes of one job may have noted the same name; Ray gave it to one of them.
        if row is not None and any(n.means(row) and n.owner not in gone for n in notes):
            continue
        kind = Kind.NOTE if row is None else Kind.GROUP
        yield Leftover(kind, note.name, note.owner, gone[note.owner], note=note, row=row)
