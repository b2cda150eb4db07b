"""The way to ready in one line: what is done, what is active, what is to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.text import Text

from nodeinit.amounts import seconds
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Frame
from nodeinit.fsm.explain import phase_seconds
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, Step, Wait


class Seen(Protocol):
    """What is shown: a node of this process, or what a journal tells of one."""

    @property
    def machine(self) -> Definition:
        """The machine that it runs."""
        ...

    @property
    def policy(self) -> Policy:
        """How patient it is."""
        ...

    @property
    def snapshot(self) -> Snapshot:
        """Where it stands."""
        ...

    @property
    def state(self) -> str:
        """The state that it is in."""
        ...

    @property
    def steps(self) -> Sequence[Step]:
        """Its steps so far."""
        ...


_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def spine(node: Seen, elapsed: float) -> Text:
    """The phases of a node's machine with the times they took; `elapsed` is since its start."""
    state = node.state
    times = phase_seconds(node.steps)
    here = max(0.0, elapsed - _entered(node))
    stands = _stands(node)
    on_spine = [*(phase.state for phase in node.machine.phases), node.machine.goal]
    position = on_spine.index(stands) if stands in on_spine else -1
    parts = []
    if state == node.machine.initial:  # its hooks may take a while
        parts.append(Text(f"{_spinner(elapsed)} {state} {here:.1f} s", "bold cyan"))
    for index, name in enumerate(on_spine):
        spent = f" {seconds(times[name])}" if name in times else ""
        if index < position or (name == stands == Frame.READY):
            parts.append(Text(f"✓ {name}{spent}", "green"))
        elif index > position:
            parts.append(Text(f"○ {name}", "dim"))
        elif name == state:
            now = times.get(name, 0.0) + here
            parts.append(Text(f"{_spinner(elapsed)} {name} {now:.1f} s", "bold cyan"))
        elif state == Frame.BACKOFF:
            left = max(0.0, _wait(node) - here)
            parts.append(Text(f"◌ {name} again in {left:.1f} s", "yellow"))
        else:
            parts.append(Text(f"✗ {name}{spent}", "red"))
    if state == Frame.RELEASING:
        parts.append(Text(f"{_spinner(elapsed)} {state}", "bold yellow"))
    elif state not in on_spine and state not in (node.machine.initial, Frame.BACKOFF):
        parts.append(Text(state, "bold"))
    return Text("  ").join(parts)


def _stands(node: Seen) -> str:
    """The state on the spine that stands for the present one: on the way out, where it was left."""
    now = node.snapshot
    if now.state == Frame.BACKOFF:
        return now.retry or now.state
    for step in reversed(node.steps):
        if step.after.state == Frame.RELEASING and step.before.state != Frame.RELEASING:
            return step.before.retry or step.before.state
    return now.state


def _entered(node: Seen) -> float:
    """When the present state was entered, seconds since the start."""
    changed = (s.at for s in reversed(node.steps) if s.before.state != s.after.state)
    return next(changed, 0.0)


def _wait(node: Seen) -> float:
    """How long the present backoff is."""
    waits = (e.seconds for s in reversed(node.steps) for e in s.effects if isinstance(e, Wait))
    return next(waits, 0.0)


def _spinner(elapsed: float) -> str:
    return _SPINNER[int(elapsed * 8) % len(_SPINNER)]
