"""Reading a journal: its lines, and its events taken through the machine again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from nodeinit.errors import ConfigError, JournalError
from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Event, Held, Occurred, Reason
from nodeinit.fsm.journal import FORMAT, Note, load_policy
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import HookRun, Snapshot, Step

Numbered: TypeAlias = tuple[int, dict[str, Any]]
"""A record with the number of its line, from 1."""


@attrs.frozen
class Replay:
    """What a journal tells: its header, the steps, the last snapshot, and whether its tail was torn.

    `drift` lists steps that this machine would take otherwise than the journal says; it is empty
    unless the machine has changed since. `notes` are what was seen beside the steps.
    """

    path: str
    header: dict[str, Any]
    steps: tuple[Step, ...]
    snapshot: Snapshot | None
    torn: bool
    drift: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def read_journal(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """Header, the records of steps and whether the last line was torn. Raises `JournalError`."""
    header, lines, torn = _read(path)
    return header, [record for _, record in lines if "note" not in record], torn


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Numbered], bool]:
    """The header, all other records with the numbers of their lines, and whether the last was torn."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
    *lines, tail = data.split(b"\n")
    records = [(number, read_line(path, number, line)) for number, line in enumerate(lines, 1)]
    if not records:
        return {}, [], bool(tail)
    return check_header(path, records[0][1]), records[1:], bool(tail)


def read_line(path: str | os.PathLike[str], number: int, line: bytes) -> dict[str, Any]:
    """The record of one line. Raises `JournalError`."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise JournalError(f"{path}: line {number} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise JournalError(f"{path}: line {number} is not a record")
    return record


def check_header(path: str | os.PathLike[str], header: dict[str, Any]) -> dict[str, Any]:
    """The header, if it is one of this format. Raises `JournalError`."""
    if header.get("journal") != FORMAT or not isinstance(header.get("machine"), str):
        raise JournalError(f"{path}: line 1 is not the header of a journal of format {FORMAT}")
    return header


def is_written(path: str | os.PathLike[str]) -> bool:
    """Whether somebody is still at work on a journal, as far as its lock tells."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return True  # without locks nobody can tell
    finally:
        os.close(file)
    return False


def replay(path: str | os.PathLike[str], definition: Definition) -> Replay:
    """Take the journal's events through the core again: the same steps, without doing anything.

    Raises `JournalError` when the file is no journal or belongs to another machine.
    """
    header, records, torn = _read(path)
    if not header:
        return Replay(str(path), {}, (), None, torn)
    replaying = Replaying(path, header, definition)
    for number, record in records:
        replaying.take(number, record)
    return replaying.told(torn)


class Replaying:
    """Takes the records of a journal through the core, one after the other, as they come.

    Raises `JournalError` when the journal belongs to another machine or its header does not fit.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: dict[str, Any], definition: Definition
    ) -> None:
        if header["machine"] != definition.name:
            raise JournalError(
                f"{path}: belongs to machine {header['machine']!r}, not {definition.name!r}"
            )
        self.header = header
        self.steps: list[Step] = []
        self.notes: list[Note] = []
        self._path = path
        self._codec = definition.codec
        self._drift: list[str] = []
        with _reading(path, 1):
            self._core = Core(definition, load_policy(header["policy"]))
            codec = self._codec
            ctx = codec.load(header["ctx"]) if codec is not None and "ctx" in header else None
        self._snapshot = self._core.initial(ctx)

    @property
    def policy(self) -> Policy:
        """The policy that the run is under."""
        return self._core.policy

    def take(self, number: int, record: dict[str, Any]) -> None:
        """Take the record of one line. Raises `JournalError` when it does not fit the format."""
        with _reading(self._path, number):
            if "note" in record:
                data = {key: value for key, value in record.items() if key not in ("note", "at")}
                self.notes.append(Note(str(record["note"]), float(record["at"]), data))
                return
            step = _replay_step(self._core, self._snapshot, record, self._codec)
            if (step.accepted, step.after.state) != (record["accepted"], record["to"]):
                self._drift.append(
                    f"line {number}: {record['event']} led to {record['to']}, "
                    f"now to {step.after.state}"
                )
        self.steps.append(step)
        self._snapshot = step.after

    def told(self, torn: bool = False) -> Replay:
        """What has been told so far."""
        return Replay(
            str(self._path),
            self.header,
            tuple(self.steps),
            self._snapshot,
            torn,
            tuple(self._drift),
            tuple(self.notes),
        )


@contextlib.contextmanager
def _reading(path: str | os.PathLike[str], line: int) -> Iterator[None]:
    """What does not fit the format becomes an error that names the line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        what = (
            f"lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        )
        raise JournalError(f"{path}: line {line} is not of this format: {what}") from error


def _replay_step(core: Core, before: Snapshot, record: dict[str, Any], codec: Any) -> Step:
    ctx = codec.apply(before.ctx, record["set"]) if codec is not None and "set" in record else None
    occurred = Occurred(
        Event(record["event"]),
        record.get("phase"),
        record.get("attempt"),
        ctx,
        Reason(**record["reason"]) if "reason" in record else None,
        Held(**record["held"]) if "held" in record else None,
    )
    step = core.step(before, occurred)
    if step.accepted and not record["accepted"]:  # its hooks were cut short: it did not happen
        step = attrs.evolve(
            step, after=before, effects=(), accepted=False, refused=record.get("refused")
        )
    elif codec is not None and "folded" in record:
        ctx = codec.apply(step.after.ctx, record["folded"])
        step = attrs.evolve(step, after=attrs.evolve(step.after, ctx=ctx))
    hooks = tuple(
        HookRun(run["callback"], run["hook"], run["seconds"], run.get("set", {}), run.get("error"))
        for run in record.get("hooks", ())
    )
    return attrs.evolve(step, at=record["at"], hooks=hooks)
