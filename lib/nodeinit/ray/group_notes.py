"""Whose groups are whose: a note on the cluster for each group of ours. Blocking calls.

A note is left before the group is made and erased after it is gone, so that every group of ours has
one at every moment; a group without a note is somebody else's. Its key holds the group's name and
the worker that left it: names are unique in a job only.
"""

from __future__ import annotations

import attrs

from nodeinit.ray import owners, records
from nodeinit.ray.group_rows import LiveRows, Row
from nodeinit.ray.owners import Owner

_PREFIX = "group/"


@attrs.frozen
class Note:
    """That `owner` is about to make, or has made, the group called `name`."""

    name: str
    owner: Owner

    @property
    def key(self) -> str:
        """Where the note is kept."""
        return f"{_PREFIX}{self.name}/{self.owner.worker_id}"

    def means(self, row: Row) -> bool:
        """Whether a group is the one that is meant."""
        return (row.name, row.job_id) == (self.name, self.owner.job_id)


def leave(name: str) -> bool:
    """Note that this process is about to make a group; whether there was no such note before."""
    note = Note(name, owners.this_process())
    return records.put(note.key, attrs.asdict(note.owner), overwrite=False)


def erase_own(name: str) -> None:
    """Note that this process has no group of that name any more."""
    records.erase(Note(name, owners.this_process()).key)


def erase(note: Note) -> None:
    """Note that somebody's group is gone."""
    records.erase(note.key)


def all_notes(name: str | None = None) -> list[Note]:
    """The notes of all groups, or of those called `name`."""
    prefix = _PREFIX if name is None else f"{_PREFIX}{name}/"
    found = records.under(prefix).items()
    if name is not None:
        return [Note(name, Owner(**note)) for worker_id, note in found if "/" not in worker_id]
    return [Note(key.rpartition("/")[0], Owner(**note)) for key, note in found]


def ours(name: str) -> list[Note]:
    """The notes of groups called `name` that this process, or one that is no more, has left."""
    notes = all_notes(name)
    gone = owners.gone(note.owner for note in notes)
    me = owners.this_process().worker_id
    return [note for note in notes if note.owner.worker_id == me or note.owner in gone]


def groups_of(note: Note) -> list[Row]:
    """The live groups that a note speaks of: one, or none."""
    return [row for row in LiveRows().read() if note.means(row)]
