"""Structured logs: each step of a node as one record, with its fields apart from its sentence."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from nodeinit.fsm.events import FINALS, Event, Frame
from nodeinit.fsm.snapshot import Step, count
from nodeinit.redact import redact, redact_text
from nodeinit.telemetry.measures import setback_of

log = logging.getLogger("nodeinit.node")

FIELDS = ("node", "model", "phase", "attempt", "plan", "event", "previous", "seconds", "reason")
"""What each record carries beside its message, as attributes of the `LogRecord`."""


class StepLog:
    """Logs the steps of one node; feed it every step in order."""

    def __init__(self, node: str, model: str) -> None:
        self._node = node
        self._model = redact_text(model)
        self._entered = 0.0

    def of_step(self, step: Step) -> None:
        """Log a change of state, a failed hook, and what could not be given back."""
        for run in step.hooks:
            level = logging.WARNING if run.error else logging.DEBUG
            said = redact_text(run.error) if run.error else f"{run.callback}.{run.hook} is done"
            self._say(level, step, run.seconds, "%s: hook: %s", said)
        if step.occurred.event is Event.ABANDONED:
            said = redact_text(step.after.cleanup_errors[-1])
            self._say(logging.ERROR, step, 0.0, "%s: cleanup: %s", said)
        before, after = step.before.state, step.after.state
        if before == after:
            return
        spent, self._entered = step.at - self._entered, step.at
        said = f"{before} -> {after} ({step.occurred.event}) after {spent:.2f} s"
        told = step.after.reason
        if told is not None and after != Frame.READY:
            said += f": {redact_text(str(told))}"
        self._say(_level(step), step, spent, "%s: %s", said)

    def _say(self, level: int, step: Step, seconds: float, text: str, said: str) -> None:
        now, reason = step.after, step.after.reason
        fields = {
            "node": self._node,
            "model": self._model,
            "phase": str(now.state),
            "attempt": count(now.tries, now.retry or now.state),
            "plan": now.replans + 1,
            "event": str(step.occurred.event),
            "previous": str(step.before.state),
            "seconds": round(seconds, 6),
            "reason": reason.code if reason is not None else None,
        }
        log.log(level, text, self._node, said, extra=fields)


def _level(step: Step) -> int:
    if step.after.state in FINALS:
        return logging.ERROR if step.after.state == Frame.FAILED else logging.INFO
    return logging.WARNING if setback_of(step) is not None else logging.INFO


_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for any logger's records; what a record carries `extra` is kept.

    Secrets are taken out by name, by shape and out of URLs, wherever they stand.
    """

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line of JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(redact(line), ensure_ascii=False, default=str)
