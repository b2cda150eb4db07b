"""What a run did when: its stays in states, its hooks, what was refused. Linear in its length."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from nodeinit.amounts import seconds
from nodeinit.diagram.run.record import RunRecord
from nodeinit.fsm.events import BOOKKEEPING, Event, Frame
from nodeinit.fsm.snapshot import Step, Wait, count

SETBACKS = (Event.ERRORED, Event.ELAPSED, Event.DISPLACED, Event.LOST)


def is_setback(step: Step) -> bool:
    """Whether a step threw the run back: something failed, or a phase ended against a rule."""
    if not step.accepted:
        return False
    event = step.occurred.event
    unmet = event is Event.DONE and step.after.state in (Frame.BACKOFF, Frame.RELEASING)
    return unmet or event in SETBACKS


@attrs.frozen
class Span:
    """Something that lasted: from when to when (seconds since the start), of which kind.

    `kind` is a state's (`phase`, `wait`, `goal`, `undo`, `start`), `hook`, or what a host was at
    (`fetch`, `group`, …). `label` is short, `tip` tells all. `curve` is how far it was when, as
    parts of 1. `failed` says that it did not come to a good end, `open` that it goes on. One that
    stands for many has their kinds as `shares` of the time.
    """

    begin: float
    end: float
    kind: str
    name: str
    label: str = ""
    tip: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    failed: bool = False
    open: bool = False
    shares: tuple[tuple[str, float], ...] = ()

    @property
    def what(self) -> str:
        """What it is counted as: the state or the hook by name, all else by kind."""
        return self.kind if self.kind in ("fetch", "group", "many") else self.name or self.kind

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return max(0.0, self.end - self.begin)


@attrs.frozen
class Mark:
    """Something at one moment: a refused event, or hooks that ran."""

    at: float
    kind: str
    tip: str
    failed: bool = False


def stays(run: RunRecord) -> list[Span]:
    """Every stay in a state, in order. The end is no stay."""
    found: list[Span] = []
    begin, state, entry = 0.0, run.machine.initial, None
    for step in run.steps:
        if step.before.state == step.after.state and not _again(step):
            continue
        if step.at > begin or state != run.machine.initial:
            found.append(_stay(run, state, begin, step.at, entry, step))
        begin, state, entry = step.at, step.after.state, step
    if not run.over:
        found.append(_stay(run, state, begin, run.until, entry, None))
    return found


def _again(step: Step) -> bool:
    """Whether a state was left for itself."""
    return step.accepted and step.edge is not None and step.occurred.event not in BOOKKEEPING


def _stay(
    run: RunRecord, state: str, begin: float, end: float, entry: Step | None, leave: Step | None
) -> Span:
    event = leave.occurred.event if leave is not None else None
    failed = leave is not None and is_setback(leave)
    lines = [f"{state}, {seconds(end - begin)}, from {seconds(begin)} on"]
    kind = kind_of(run, state)
    label = state
    if entry is not None and kind == "phase":
        tries = count(entry.after.tries, state)
        lines.append(f"try {tries} of {run.policy.of(state).attempts}")
        label = f"{state}, try {tries}" if tries > 1 else state
        if entry.after.replans:
            lines[-1] += f", plan {entry.after.replans + 1}"
    if entry is not None and kind == "wait":
        waits = [effect.seconds for effect in entry.effects if isinstance(effect, Wait)]
        lines.append(f"before {entry.after.retry} is tried again, {seconds(sum(waits))}")
    if leave is not None:
        lines.append(f"then {event}: to {leave.after.state}")
        if failed and leave.after.reason is not None:
            lines.append(str(leave.after.reason))
    else:
        lines.append("it goes on" if not run.left else "nothing is known of it since")
    return Span(begin, end, kind, state, label, "\n".join(lines), (), failed, leave is None)


def kind_of(run: RunRecord, state: str) -> str:
    """What a state is for: a phase, a wait, the goal, the way out, or before the start."""
    if run.machine.phase(state) is not None:
        return "phase"
    if state == run.machine.goal:
        return "goal"
    of_the_frame: dict[str, str] = {Frame.BACKOFF: "wait", Frame.RELEASING: "undo"}
    return of_the_frame.get(state, "start")


def marks(run: RunRecord) -> Iterator[Mark]:
    """What happened at one moment: refused events, and hooks that failed."""
    for step in run.steps:
        if not step.accepted:
            what = f"{step.occurred.event} was refused in {step.before.state}"
            yield Mark(step.at, "refused", f"{what}, at {seconds(step.at)}\n{step.refused}")
        for hook in step.hooks:
            if hook.error:
                what = f"{hook.hook} of {hook.callback} failed, at {seconds(step.at)}"
                yield Mark(step.at, "hook", f"{what}\n{hook.error}", failed=True)


def hooks(run: RunRecord) -> Iterator[Span]:
    """The calls of hooks: they end when their step is committed, one after the other."""
    for step in run.steps:
        at = step.at - sum(hook.seconds for hook in step.hooks)
        for hook in step.hooks:
            tip = f"{hook.hook} of {hook.callback}, {seconds(hook.seconds)}"
            tip += f"\nfailed: {hook.error}" if hook.error else ""
            end = at + hook.seconds
            yield Span(
                max(0.0, at), end, "hook", hook.hook, hook.hook, tip, failed=bool(hook.error)
            )
            at = end
