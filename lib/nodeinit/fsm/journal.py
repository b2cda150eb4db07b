"""The journal: an append-only file of JSON lines, one per step. `fsm.replay` reads it.

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
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from nodeinit.errors import JournalError
from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.snapshot import Do, Effect, Step, Stop, Undo, Wait
from nodeinit.redact import redact

FORMAT = 1

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
