"""The journal: an append-only file of JSON lines, one per step, and its replay.

The first line says which machine it is, under which policy it runs and from which context it
started; every other line is a step, or a *note*: something worth seeing beside the steps, such as
how far a host is, which no replay depends on. Lines are written whole, before the step takes
effect, and secrets are redacted. The last line of a run that was killed may be torn: it is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from nodeinit.errors import ConfigError, JournalError
from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Event, Held, Occurred, Reason
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.snapshot import Do, Effect, HookRun, Snapshot, Step, Stop, Undo, Wait
from nodeinit.redact import redact

FORMAT = 1

Numbered: TypeAlias = tuple[int, dict[str, Any]]
"""A record with the number of its line, from 1."""

log = logging.getLogger("nodeinit.journal")


def digest(definition: Definition) -> str:
    """A short name for exactly this machine (12 hex digits of its canonical form's sha256)."""
    text = json.dumps(definition.to_dict(), sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()[:12]


@attrs.frozen
class Note:
    """Something that was seen beside the steps of a run: what, when, and JSON that tells it.

    `kind` is `progress` (how far a host is) or `cluster` (what a plan was made against); readers pass
    over kinds that they do not know. `at` is in seconds since the machine began.
    """

    kind: str
    at: float
    data: Mapping[str, Any]


class Journal:
    """Writes the steps of one run to a file that must not exist yet.

    The file is locked as long as it is written, so that a reader can tell a run that goes on from one
    that was killed; the kernel gives the lock back with the process.
    """

    def __init__(self, path: str | os.PathLike[str], core: Core, ctx: Any, node: str) -> None:
        self.path = Path(path)
        self._codec = core.definition.codec
        self._broken: OSError | None = None
        self._file = _created(self.path)
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        header = {
            "journal": FORMAT,
            "machine": core.definition.name,
            "definition": digest(core.definition),
            "node": node,
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "policy": dump_policy(core.policy),
        }
        if self._codec is not None:
            header["ctx"] = self._codec.dump(ctx)
        try:
            self._write(header)
        except OSError as error:
            os.close(self._file)
            raise JournalError(f"{self.path}: cannot be written: {error.strerror}") from error

    def append(self, step: Step) -> None:
        """Write one step. It is with the operating system when this returns."""
        self._write(dump_step(step, self._codec))

    def note(self, note: Note) -> None:
        """Write a note. What cannot be written is reported by the next step, which matters more."""
        try:
            self._write({**note.data, "note": note.kind, "at": note.at})
        except OSError as error:
            log.warning("%s: a note cannot be written: %s", self.path, error.strerror or error)

    def close(self) -> None:
        """Bring everything to the disk and close the file. Safe to repeat."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(redact(record), ensure_ascii=False, separators=(",", ":"), default=repr)
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._broken is not None:  # half a line may be there: nothing may come behind it
            raise self._broken
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self._broken = error
            raise


def _created(path: Path) -> int:
    """A new file, open for appending."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    except OSError as error:
        if os.path.lexists(path):
            problem = "exists already; a journal belongs to one run, choose another path"
        else:
            problem = f"cannot be written: {error.strerror}"
        raise JournalError(f"{path}: {problem}") from error


def dump_step(step: Step, codec: Any = None) -> dict[str, Any]:
    """One step as JSON; what is empty is left out."""
    occurred, before, after = step.occurred, step.before, step.after
    record: dict[str, Any] = {
        "seq": after.seq,
        "at": step.at,
        "event": str(occurred.event),
        "from": before.state,
        "to": after.state,
        "accepted": step.accepted,
        "phase": occurred.phase,
        "attempt": occurred.attempt,
        "reason": attrs.asdict(occurred.reason) if occurred.reason else None,
        "held": attrs.asdict(occurred.held) if occurred.held else None,
        "refused": step.refused,
        "refusals": [attrs.asdict(refusal) for refusal in step.refusals],
        "effects": [_dump_effect(effect) for effect in step.effects],
    }
    if codec is not None:
        if occurred.ctx is not None:
            record["set"] = codec.changes(before.ctx, occurred.ctx)
        if step.hooks and step.accepted:
            base = occurred.ctx if occurred.ctx is not None else before.ctx
            record["folded"] = codec.changes(base, after.ctx)
    record["hooks"] = [
        {
            "callback": run.callback,
            "hook": run.hook,
            "seconds": run.seconds,
            "set": dict(run.changes),
            "error": run.error,
        }
        for run in step.hooks
    ]
    return {
        key: value for key, value in record.items() if value not in (None, [], {}) or key == "set"
    }


def _dump_effect(effect: Effect) -> dict[str, Any]:
    match effect:
        case Do(phase, attempt):
            return {"do": phase, "attempt": attempt}
        case Wait(phase, seconds):
            return {"wait": phase, "seconds": seconds}
        case Undo(held, _):
            return {"undo": [f"{item.kind} {item.name}" for item in held]}
        case Stop(phase):
            return {"stop": phase}


def dump_policy(policy: Policy) -> dict[str, Any]:
    """A policy as JSON."""
    flat = attrs.asdict(policy, recurse=False)
    flat["default"] = attrs.asdict(policy.default)
    flat["phases"] = {name: attrs.asdict(value) for name, value in sorted(policy.phases.items())}
    return flat


def load_policy(data: dict[str, Any]) -> Policy:
    """The policy of its JSON."""

    def phase(value: dict[str, Any]) -> PhasePolicy:
        return PhasePolicy(**{**value, "backoff": Backoff(**value["backoff"])})

    phases = {name: phase(value) for name, value in data["phases"].items()}
    return Policy(**{**data, "default": phase(data["default"]), "phases": phases})


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
