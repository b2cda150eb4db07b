"""The status document: what probes, Serve, the command line and people ask a node.

One pure function makes it from a node's steps, so that all of them tell the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from nodeinit.clusters.base import Progress
from nodeinit.fsm.events import FINALS, Frame
from nodeinit.fsm.explain import explain
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, Step, Wait, count
from nodeinit.redact import redact_text


@attrs.frozen
class StatusReason:
    """Why a node is not further: a stable `code` for programs, a `message` for people.

    `phase` is where it came up, and `temporary` says that trying again may help.
    """

    code: str
    message: str
    phase: str | None = None
    temporary: bool = False


@attrs.frozen
class StatusProgress:
    """How far the work of the phase is, over all hosts.

    `done` and `total` in bytes, `fraction` of 1, `rate` in bytes per second, `left` the seconds
    until it is done, where they can be told. `stage` is what the hosts do (`fetch`, `verify`, …).
    """

    done: int
    total: int
    fraction: float
    hosts: int
    stage: str
    rate: float = 0.0
    left: float | None = None


@attrs.frozen
class Status:
    """Where a node stands.

    `phase` is the machine's state, the names of the design: `config`, `download`, `placement`, and
    around them `idle`, `backoff`, `ready`, `releasing`, `failed`, `cancelled`, `released`.
    `attempt` of `attempts` counts the tries of the phase (in `backoff`: those of the phase that is
    waited for), and is 0 where nothing is tried; `plan` counts the plans. `since` is when the phase
    was entered, `deadline` when it elapses, or in `backoff` when it is tried again. `explain` says
    all that in one sentence. `reason` is that of the last setback, or of the end.
    """

    node: str
    model: str
    phase: str
    ready: bool
    attempt: int
    attempts: int
    plan: int
    since: datetime
    deadline: datetime | None
    progress: StatusProgress | None
    reason: StatusReason | None
    explain: str

    @property
    def over(self) -> bool:
        """Whether the node is in a final state: it will never be ready."""
        return self.phase in FINALS

    def to_dict(self) -> dict[str, Any]:
        """The status as JSON; times as RFC 3339, in UTC."""
        flat = attrs.asdict(self)
        flat["since"] = rfc3339(self.since)
        flat["deadline"] = rfc3339(self.deadline) if self.deadline else None
        return flat

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Status:
        """The status of its JSON."""
        values = dict(data)
        values["since"] = datetime.fromisoformat(values["since"])
        if values["deadline"]:
            values["deadline"] = datetime.fromisoformat(values["deadline"])
        if values["progress"]:
            values["progress"] = StatusProgress(**values["progress"])
        if values["reason"]:
            values["reason"] = StatusReason(**values["reason"])
        return cls(**values)


def status_of(
    node: str,
    model: str,
    steps: Sequence[Step],
    snapshot: Snapshot,
    policy: Policy,
    *,
    now: float,
    reports: Sequence[Progress] = (),
    clock: datetime | None = None,
) -> Status:
    """The status of a node after these steps.

    `now` is the present time in seconds since the node's start, on the clock of the steps; `clock`
    is what the wall's clock says then (default: what it says). `reports` are the latest of each host.
    """
    wall = clock or datetime.now(UTC)
    state = snapshot.state
    entry = next((s for s in reversed(steps) if s.before.state != s.after.state), None)
    entered = entry.at if entry is not None else now
    since = wall - timedelta(seconds=max(0.0, now - entered))
    phase = snapshot.retry if state == Frame.BACKOFF and snapshot.retry else state
    tries = count(snapshot.tries, phase)
    patience = _patience(entry, state, tries, policy)
    return Status(
        node=node,
        model=model,
        phase=str(state),
        ready=state == Frame.READY,
        attempt=tries if patience is not None else 0,
        attempts=policy.of(phase).attempts if patience is not None else 0,
        plan=snapshot.replans + 1,
        since=since,
        deadline=since + timedelta(seconds=patience) if patience is not None else None,
        progress=_progress(reports),
        reason=_reason(snapshot),
        explain=redact_text(explain(steps, policy)),
    )


def rfc3339(moment: datetime) -> str:
    """A moment as Kubernetes and JSON write it, in UTC and to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _patience(entry: Step | None, state: str, tries: int, policy: Policy) -> float | None:
    """Seconds from the entry of a state to what ends it by itself; `None` where nothing does."""
    if state == Frame.BACKOFF and entry is not None:
        return sum(effect.seconds for effect in entry.effects if isinstance(effect, Wait))
    return policy.of(state).deadline if tries else None


def _progress(reports: Sequence[Progress]) -> StatusProgress | None:
    hosts = [report for report in reports if report.node_id]
    if not hosts:
        return None
    done, total = sum(r.done for r in hosts), sum(r.total for r in hosts)
    # Where several hosts fetch, somebody has the sum of their rates already (see `Totals`).
    summed = next((report for report in reports if not report.node_id), None)
    spokesman = summed or hosts[0]
    stages = sorted({report.stage for report in hosts})
    return StatusProgress(
        done=done,
        total=total,
        fraction=round(done / total, 4) if total else 0.0,
        hosts=len(hosts),
        stage=", ".join(stages),
        rate=round(spokesman.rate, 1),
        left=None if spokesman.left is None else round(spokesman.left, 1),
    )


def _reason(snapshot: Snapshot) -> StatusReason | None:
    reason = snapshot.reason
    if reason is None:
        return None
    text = redact_text(reason.message)
    return StatusReason(reason.code, text, reason.phase, reason.temporary)
