"""What a fetch shows while it is under way: bars on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from nodeinit.amounts import seconds, size
from nodeinit.cli.bars import HostBars
from nodeinit.cli.fetch_places import HERE
from nodeinit.cli.lines import total_said
from nodeinit.cli.lines_view import MOST
from nodeinit.cli.names import HostNames
from nodeinit.clusters.base import Progress
from nodeinit.placement.topology import ClusterSnapshot

if TYPE_CHECKING:
    from nodeinit.cli.fetch_plan import FetchPlan
    from nodeinit.cli.fetch_subject import Subject
    from nodeinit.cli.fetching import Fetched


class FetchView:
    """Shows nothing: what `--quiet` gets, and what the others add to."""

    def say(self, text: str) -> None:
        """Say something in a line of its own."""

    def planned(self, plan: FetchPlan, subject: Subject) -> None:
        """The source has answered, and the hosts were looked at."""

    @contextmanager
    def watching(self, names: HostNames) -> Iterator[None]:
        """Whatever has to be there while bytes move."""
        yield

    def progress(self, progress: Progress) -> None:
        """A host got further."""

    def done(self, result: Fetched, names: HostNames) -> None:
        """All is there."""

    def interrupted(self, count: int) -> None:
        """Somebody wants to stop, for the `count`-th time."""
        self.say("interrupted: stopping" if count == 1 else "still stopping")


class FetchLines(FetchView):
    """Writes lines as things happen: one for each tenth of what a host brings."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._names = HostNames(ClusterSnapshot(()))
        self._tenths: dict[tuple[str, str], int] = {}
        self._notes: set[str] = set()
        self._hosts: set[str] = set()

    def say(self, text: str) -> None:
        """Write one line."""
        self._console.print(text, soft_wrap=True)

    def planned(self, plan: FetchPlan, subject: Subject) -> None:
        """Write the plan."""
        for line in plan.lines(files=subject.dry_run):
            self.say(line)

    @contextmanager
    def watching(self, names: HostNames) -> Iterator[None]:
        """Learn what hosts are called."""
        self._names = names
        yield

    def progress(self, progress: Progress) -> None:
        """Write a line when another tenth is done."""
        self._note(progress.note)
        if progress.node_id:
            self._hosts.add(progress.node_id)
        if progress.node_id and len(self._hosts) > MOST:
            return
        if progress.total <= 0 or progress.stage == "done":
            return
        key = progress.node_id, progress.stage
        tenth = 10 * progress.done // progress.total
        at_once = tenth == 10 and key not in self._tenths and progress.stage == "verify"
        if tenth <= self._tenths.get(key, 0) or at_once:  # known by its looks: nothing was read
            return
        self._tenths[key] = tenth
        if not progress.node_id:
            self.say(f"all hosts {10 * tenth} % ({total_said(progress)})")
            return
        host = "" if progress.node_id == HERE else f"{self._names[progress.node_id]} "
        amounts = f"{size(progress.done)} of {size(progress.total)}"
        self.say(f"{host}{progress.stage} {10 * tenth} % ({amounts})")

    def _note(self, note: str) -> None:
        """Say how hosts fetch and why, once."""
        if note and note not in self._notes:
            self._notes.add(note)
            self.say(f"strategy {note}")

    def done(self, result: Fetched, names: HostNames) -> None:
        """Write what came of it, for each host."""
        for host, brought in result.brought.items():
            name = "" if host == HERE else f"{names[host]}: "
            if brought.fetched:
                rate = size(round(brought.fetched / max(result.took, 1e-3)))
                came = f"{size(brought.fetched)} fetched in {seconds(result.took)} ({rate}/s)"
            else:
                came = "nothing to fetch"
            self.say(f"{name}{came}; {brought.files} files, {size(brought.bytes)} verified")
        for path in sorted({brought.path for brought in result.brought.values()}):
            self.say(f"in {path}")


class FetchLive(FetchLines):
    """Draws a bar for each host, with bytes, speed and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = HostBars(console, self._names)

    @contextmanager
    def watching(self, names: HostNames) -> Iterator[None]:
        """The bars, which disappear at the end: the result takes their place."""
        self._bars = HostBars(self._console, names)
        live = Live(self._bars, console=self._console, refresh_per_second=8, transient=True)
        with live:
            yield

    def progress(self, progress: Progress) -> None:
        """Move the bar of a host."""
        self._note(progress.note)
        self._bars.update(progress)
