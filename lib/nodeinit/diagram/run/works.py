"""Something that a host is at, from when it begins until it ends, and the span that comes of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from nodeinit.amounts import seconds, size
from nodeinit.diagram.run.spans import Span
from nodeinit.fsm.journal import Note


@attrs.define
class Work:
    """Something that a host is at, while it is read."""

    kind: str
    name: str
    begin: float
    confirmed: float | None = None
    notes: list[Note] = attrs.field(factory=list)

    def shared(self, end: float, *, failed: bool, open: bool) -> Span:
        """Something that is held on several hosts, such as a group."""
        got = "" if self.confirmed is None else f", held since {seconds(self.confirmed)}"
        tip = f"{self.kind} {self.name}\nasked for at {seconds(self.begin)}{got}"
        tip += ", held still" if open else f"\ngone at {seconds(end)}"
        return Span(self.begin, end, self.kind, self.name, self.kind, tip, failed=failed, open=open)

    def alone(self, end: float, *, failed: bool, open: bool) -> Span:
        """The work of one host, with the bytes that it came to."""
        if not self.notes:
            tip = f"{self.kind} {self.name}, {seconds(end - self.begin)}"
            return Span(self.begin, end, self.kind, self.name, "", tip, failed=failed, open=open)
        last = self.notes[-1].data
        done, total = _number(last, "done"), _number(last, "total")
        moved, took = _moved(self.notes)
        there = not moved and not failed and not open
        label = "already there" if there else size(done if failed or open else total or done)
        if (failed or open) and total:
            label = f"{size(done)} of {size(total)}"
        if moved and took > 0:
            label += f", {size(moved / took)}/s"
        lines = [f"{self.kind}, {seconds(end - self.begin)}, from {seconds(self.begin)} on", label]
        if there and total:
            lines.append(f"{size(total)}, of which nothing had to be brought")
        stages: dict[str, float] = {}
        for note, following in zip(self.notes, [*self.notes[1:], None], strict=True):
            until = end if following is None else following.at
            stage = str(note.data.get("stage", ""))
            stages[stage] = stages.get(stage, 0.0) + max(0.0, until - note.at)
        lines += [f"{stage} {seconds(spent)}" for stage, spent in stages.items() if stage != "done"]
        lines += list(dict.fromkeys(str(n.data["note"]) for n in self.notes if n.data.get("note")))
        if failed:
            lines.append("it did not come to its end")
        points = [
            (n.at, _number(n.data, "done") / t)
            for n in self.notes
            if (t := _number(n.data, "total"))
        ]
        return Span(
            self.begin,
            end,
            self.kind,
            self.name,
            label,
            "\n".join(lines),
            tuple((at, min(1.0, part)) for at, part in points),
            failed,
            open,
        )


def _moved(notes: Sequence[Note]) -> tuple[float, float]:
    """The bytes that moved while a host fetched, and the seconds that this took."""
    moved = took = 0.0
    for before, after in itertools.pairwise(notes):
        more = _number(after.data, "done") - _number(before.data, "done")
        if before.data.get("stage") == "fetch" and more > 0:
            moved += more
            took += after.at - before.at
    return moved, took


def _number(data: Mapping[str, Any], key: str) -> float:
    value = data.get(key, 0)
    return float(value) if isinstance(value, int | float) else 0.0
