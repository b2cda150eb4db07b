"""How far a run is at this moment, over all hosts of the phase that is active."""

from __future__ import annotations

import attrs

from nodeinit.amounts import seconds, size
from nodeinit.diagram.run.record import RunRecord


@attrs.frozen
class Together:
    """Bytes of all hosts together; `rate` in bytes per second, `left` in seconds if it can be told."""

    done: float
    total: float
    hosts: int
    rate: float = 0.0
    left: float | None = None

    @property
    def part(self) -> float:
        """How much of it is done, of 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def short(self) -> str:
        """In a few words: `43 % of 14.0 GB`."""
        return f"{100 * self.part:.0f} % of {size(self.total)}"

    @property
    def said(self) -> str:
        """In a sentence's part: `6.1 of 14.0 GB on 2 hosts, 310 MB/s, 22 s left`."""
        hosts = "one host" if self.hosts == 1 else f"{self.hosts} hosts"
        text = f"{size(self.done)} of {size(self.total)} on {hosts}"
        text += f", {size(self.rate)}/s" if self.rate else ""
        return text + (f", {seconds(self.left)} left" if self.left else "")


def progress_of(run: RunRecord) -> Together | None:
    """How far the active phase is; `None` where nothing was said of it."""
    since = 0.0
    for step in reversed(run.steps):
        if step.before.state != step.after.state:
            since = step.at
            break
    hosts: dict[str, tuple[float, float]] = {}
    rate, left, whole = 0.0, None, False
    for note in reversed(run.notes):
        if note.at < since:
            break
        if note.kind != "progress":
            continue
        data = note.data
        node_id = str(data.get("node_id", ""))
        if node_id and data.get("total"):
            hosts.setdefault(node_id, (float(data.get("done", 0)), float(data["total"])))
        elif not node_id and not whole:
            whole, rate, left = True, float(data.get("rate", 0.0)), data.get("left")
    if not hosts:
        return None
    done, total = (sum(amounts) for amounts in zip(*hosts.values(), strict=True))
    return Together(done, total, len(hosts), rate, left)
