"""A run on a terminal: the way to ready with the active phase, and how far every host is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from nodeinit.cli.bars import HostBars
from nodeinit.cli.display import display, setback
from nodeinit.cli.errors import ExitCode
from nodeinit.cli.names import HostNames
from nodeinit.cli.outcome import Outcome
from nodeinit.cli.summary import print_end, print_outcome
from nodeinit.cli.view import View
from nodeinit.clusters.base import Progress
from nodeinit.fsm.events import Frame
from nodeinit.fsm.snapshot import Step
from nodeinit.placement.topology import ClusterSnapshot

if TYPE_CHECKING:
    from nodeinit.node.initializer import NodeInitializer


class LiveView(View):
    """Draws the present state of a node again and again, below whatever is printed meanwhile."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._bars = HostBars(console, HostNames(ClusterSnapshot(())))
        self._began = 0.0
        self._note = ""

    def say(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(text, style="dim")

    @contextmanager
    def shown(self, node: NodeInitializer, cluster: ClusterSnapshot) -> Iterator[None]:
        """The display, which disappears at the end: a summary takes its place."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._bars = HostBars(self._console, HostNames(cluster))
        with Live(self, console=self._console, refresh_per_second=8, transient=True):
            yield

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner with what is being waited for."""
        with self._console.status(text):
            yield

    def ready(self, node: NodeInitializer, *, hold: bool) -> None:
        """Print where everything is, above the display."""
        super().ready(node, hold=hold)
        print_outcome(self._console, Outcome.of(node))

    def ended(self, outcome: Outcome) -> None:
        """Say that the node was released, or why it was not ready."""
        super().ended(outcome)
        if outcome.exit_code is ExitCode.READY:
            print_end(self._console, outcome)

    def step(self, step: Step) -> None:
        """Begin the bars anew with every phase; a setback stays to be read."""
        if not step.accepted or step.before.state == step.after.state:
            return
        self._bars.clear()
        if (line := setback(step)) is not None:
            self._console.print(Text(line, "yellow"), soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        """Move the bar of a host; how they fetch, and why, stays to be read."""
        if progress.note and progress.note != self._note:
            self._note = progress.note
            self.say(f"  {progress.note}")
        self._bars.update(progress)

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """The display as it is at this moment."""
        node = self.node
        if node is None:
            return
        holding = self._holding and node.state == Frame.READY
        hint = "holding the node; Ctrl-C releases it" if holding else ""
        yield display(node, self._loop.time() - self._began, self._bars, hint)
