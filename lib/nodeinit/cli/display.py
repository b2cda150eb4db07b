"""The present state of a run on a terminal: its spine, how far every host is, what went wrong last."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from nodeinit.cli.bars import HostBars
from nodeinit.cli.lines import shortened
from nodeinit.cli.spine import Seen, spine
from nodeinit.fsm.events import FINALS, Frame
from nodeinit.fsm.snapshot import Step, count


def display(run: Seen, elapsed: float, bars: HostBars, hint: str = "") -> Group:
    """What is drawn again and again; `elapsed` is in seconds since the start."""
    parts: list[RenderableType] = [spine(run, elapsed), bars, *_notes(run)]
    if hint:
        parts.append(Text(f"  {hint}", "bold"))
    return Group(*parts)


def setback(step: Step) -> str | None:
    """A line about a step that threw a run back, which stays to be read; `None` of any other."""
    if not step.accepted or step.before.state == step.after.state:
        return None
    why = step.after.reason if step.after.reason is not step.before.reason else None
    if why is None or not why.temporary or step.after.state == Frame.RELEASING:
        return None
    return f"{step.at:.1f} s  {why}"


def _notes(run: Seen) -> Iterator[Text]:
    """What there is to say below the spine: which try it is, and what went wrong last."""
    now = run.snapshot
    phase = now.retry if now.state == Frame.BACKOFF else now.state
    tries = count(now.tries, phase or "")
    parts = []
    if tries > 1 or now.state == Frame.BACKOFF:
        failed = " failed" if now.state == Frame.BACKOFF else ""
        parts.append(f"try {tries} of {run.policy.of(phase or '').attempts}{failed}")
    if now.replans:
        parts.append(f"plan {now.replans + 1}")
    if now.state == Frame.RELEASING:
        parts.append(f"giving back {len(now.held)}")
    if parts:
        yield Text(f"  {', '.join(parts)}", style="yellow")
    if now.reason is not None and now.state != Frame.READY and now.reason.code != "released":
        what = "why" if now.state in FINALS else "last setback"
        yield Text(f"  {what}: {now.reason}", style="yellow")
    refused = next((step for step in reversed(run.steps) if not step.accepted), None)
    if refused is not None:
        event, where = refused.occurred.event, refused.before.state
        why = shortened(refused.refused or "", 100)
        yield Text(f"  refused at {refused.at:.1f} s: {event} in {where}: {why}", style="dim")
