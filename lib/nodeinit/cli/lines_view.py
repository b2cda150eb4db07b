"""A run in plain lines, for pipes and logs: one for each step and for each tenth of a download."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from nodeinit.amounts import size
from nodeinit.cli.errors import ExitCode
from nodeinit.cli.lines import step_lines, total_said
from nodeinit.cli.names import HostNames
from nodeinit.cli.outcome import Outcome
from nodeinit.cli.summary import print_end, print_outcome
from nodeinit.cli.view import View
from nodeinit.clusters.base import Progress
from nodeinit.fsm.snapshot import Step
from nodeinit.placement.topology import ClusterSnapshot

if TYPE_CHECKING:
    from nodeinit.node.initializer import NodeInitializer

MOST = 8
"""With more hosts than this, lines are written for all of them together."""


class LinesView(View):
    """Writes lines as things happen; nothing is ever rewritten."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._names = HostNames(ClusterSnapshot(()))
        self._tenths: dict[tuple[str, str], int] = {}
        self._notes: set[str] = set()
        self._hosts: set[str] = set()

    @contextmanager
    def shown(self, node: NodeInitializer, cluster: ClusterSnapshot) -> Iterator[None]:
        """Learn the names of the hosts."""
        self._names = HostNames(cluster)
        yield

    def say(self, text: str) -> None:
        """Write one line."""
        self._console.print(text, soft_wrap=True)

    def ended(self, outcome: Outcome) -> None:
        """Say that the node was released, or why it was not ready."""
        super().ended(outcome)
        if outcome.exit_code is ExitCode.READY:
            print_end(self._console, outcome)

    def step(self, step: Step) -> None:
        """Write what happened."""
        if step.accepted and step.before.state != step.after.state:
            self._tenths.clear()
            self._notes.clear()
            self._hosts.clear()
        for line in step_lines(step):
            self.say(line)

    def ready(self, node: NodeInitializer, *, hold: bool) -> None:
        """Write where everything is."""
        super().ready(node, hold=hold)
        print_outcome(self._console, Outcome.of(node))
        if hold:
            self.say("holding the node; Ctrl-C releases it")

    def progress(self, progress: Progress) -> None:
        """Write a line when another tenth is done, of each host if they are few, and of all."""
        if progress.note and progress.note not in self._notes:
            self._notes.add(progress.note)
            self.say(f"{'':9}      {progress.note}")
        if progress.node_id:
            self._hosts.add(progress.node_id)
        if progress.total <= 0 or (progress.node_id and len(self._hosts) > MOST):
            return
        key = progress.node_id, progress.stage
        tenth = 10 * progress.done // progress.total
        if tenth <= self._tenths.get(key, 0):
            return
        self._tenths[key] = tenth
        if not progress.node_id:
            self.say(f"{'':9}      all hosts {10 * tenth} % ({total_said(progress)})")
            return
        host = self._names[progress.node_id]
        amounts = f"{size(progress.done)} of {size(progress.total)}"
        self.say(f"{'':9}      {host} {progress.stage} {10 * tenth} % ({amounts})")
