"""`nodeinit diagram --watch`: a run followed through its journal, on a terminal and on a page."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from nodeinit.cli.bars import HostBars
from nodeinit.cli.consoles import console
from nodeinit.cli.display import display, setback
from nodeinit.cli.errors import ExitCode
from nodeinit.cli.lines import step_lines
from nodeinit.cli.machines import find_machine
from nodeinit.cli.names import HostNames
from nodeinit.clusters.base import Progress
from nodeinit.diagram.live import Follower, LivePage
from nodeinit.fsm.events import Frame
from nodeinit.placement.topology import ClusterSnapshot, Host

if TYPE_CHECKING:
    from nodeinit.diagram.run import RunRecord
    from nodeinit.fsm.journal import Note

_PAUSE = 0.2  # seconds between two looks at the journal


def watch(journal: Path, page: Path | None) -> ExitCode:
    """Follow a run to its end, or until an interrupt; answers with what `nodeinit run` would.

    Who stops watching gets `READY`: nothing is the matter. Raises `JournalError` for what is no
    journal.
    """
    out = console()
    follower = Follower(journal, find_machine)
    seen = _Seen()
    kept = LivePage(lambda: seen.run, page)
    try:
        out.print(
            f"page     {kept.url}" + (f", and {page}" if page is not None else ""), soft_wrap=True
        )
        screen = _Screen(out, seen) if out.is_terminal else _Lines(out)
        with screen.shown(), contextlib.suppress(KeyboardInterrupt):
            if not journal.exists():
                screen.say(f"waiting for {journal}")
            _follow(follower, seen, screen, kept)
    finally:
        kept.close()
    if seen.run is None:
        return ExitCode.READY
    _sum_up(out, seen.run)
    return exit_code_of_run(seen.run)


class _Seen:
    """The run as it was read last; pages are drawn of it in another thread."""

    run: RunRecord | None = None


def _follow(follower: Follower, seen: _Seen, screen: _Screen | _Lines, page: LivePage) -> None:
    pause = threading.Event()  # an interrupt ends its wait at once
    steps = notes = 0
    while True:
        news = follower.look()
        seen.run = run = follower.run
        if run is not None:
            if len(run.steps) < steps or len(run.notes) < notes:
                steps = notes = 0  # another run took its place
            screen.told(run, steps, notes)
            steps, notes = len(run.steps), len(run.notes)
        if news:
            page.touch()
        if run is not None and (run.over or run.left):
            return
        pause.wait(_PAUSE)


def _sum_up(out: Console, run: RunRecord) -> None:
    if run.left:
        out.print("nobody runs it any more: it was killed before its end", style="bold red")
    look = {"ready": "green", "released": "green", "failed": "red"}.get(run.state, "yellow")
    out.print(Text(run.explain(), f"bold {look}"), soft_wrap=True)


def exit_code_of_run(run: RunRecord) -> ExitCode:
    """What `nodeinit run` answers after such a run; one that was killed failed."""
    reason = run.snapshot.reason
    if run.state == Frame.CANCELLED:
        return ExitCode.CANCELLED
    if run.state == Frame.FAILED and reason is not None and reason.code == "infeasible":
        return ExitCode.INFEASIBLE
    return ExitCode.FAILED if run.left or run.state == Frame.FAILED else ExitCode.READY


class _Lines:
    """A run in plain lines, for pipes: one for each step."""

    def __init__(self, out: Console) -> None:
        self._out = out

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Nothing has to be there for lines."""
        yield

    def say(self, text: str) -> None:
        """Write one line."""
        self._out.print(text, soft_wrap=True)

    def told(self, run: RunRecord, steps: int, _notes: int) -> None:
        """Write what is new since so many steps."""
        for step in run.steps[steps:]:
            for line in step_lines(step):
                self._out.print(Text(line), soft_wrap=True)


class _Screen:
    """A run on a terminal, as `nodeinit run` shows it."""

    def __init__(self, out: Console, seen: _Seen) -> None:
        self._out = out
        self._seen = seen
        self._bars = HostBars(out, HostNames(ClusterSnapshot(())))

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The display, which is drawn a last time at the end and stays."""
        with Live(self, console=self._out, refresh_per_second=8):
            yield

    def say(self, text: str) -> None:
        """Print a line above the display."""
        self._out.print(text, style="dim", soft_wrap=True)

    def told(self, run: RunRecord, steps: int, notes: int) -> None:
        """Move the bars by the notes since so many; every phase begins them anew."""
        since = 0.0
        for step in run.steps[steps:]:
            if step.before.state != step.after.state:
                self._bars.clear()
                since = step.at
            if (line := setback(step)) is not None:
                self._out.print(Text(line, "yellow"), soft_wrap=True)
        for note in run.notes[notes:]:
            if note.kind == "cluster":
                self._bars.names = HostNames(_cluster(note))
            elif note.kind == "progress" and note.at >= since:
                self._bars.update(_progress(note))

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """The display as it is at this moment."""
        run = self._seen.run
        if run is None:
            yield Text("○ nothing yet", "dim")
        else:
            yield display(run, run.until, self._bars)


def _cluster(note: Note) -> ClusterSnapshot:
    """The hosts of a note, by name: all that bars want to know of them."""
    hosts = (
        Host(str(node.get("node_id", "")), str(node.get("name", "")), {}, {})
        for node in note.data.get("nodes", ())
    )
    return ClusterSnapshot(tuple(hosts))


def _progress(note: Note) -> Progress:
    data = note.data
    return Progress(
        str(data.get("node_id", "")),
        int(data.get("done", 0)),
        int(data.get("total", 0)),
        stage=str(data.get("stage", "fetch")),
        rate=float(data.get("rate", 0.0)),
        left=data.get("left"),
    )
