"""One bar for each host: bytes, speed and time left."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from nodeinit.cli.lines import total_said
from nodeinit.cli.names import HostNames
from nodeinit.clusters import base

MOST = 8
"""So many bars are shown at once: those of the hosts that are not done come first."""


class HostBars:
    """The bars of the hosts of one phase."""

    def __init__(self, console: Console, names: HostNames) -> None:
        self.names = names
        self._tasks: dict[str, TaskID] = {}
        self._all: base.Progress | None = None
        self._progress = Progress(
            TextColumn("  {task.description}", style="cyan"),
            TextColumn("{task.fields[stage]}", style="dim"),
            BarColumn(bar_width=24),
            DownloadColumn(table_column=Column(no_wrap=True)),
            TransferSpeedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=console,
            auto_refresh=False,
        )

    def clear(self) -> None:
        """Forget all bars."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()
        self._all = None

    def update(self, report: base.Progress) -> None:
        """Move the bar of a host; another stage, or another try, begins it anew."""
        if not report.node_id:
            self._all = report
            return
        task_id = self._tasks.get(report.node_id)
        if task_id is None:
            task_id = self._tasks[report.node_id] = self._progress.add_task(
                self.names[report.node_id], total=report.total, stage=report.stage
            )
        task = self._progress.tasks[self._progress.task_ids.index(task_id)]
        if task.fields["stage"] != report.stage or task.completed > report.done:
            self._progress.reset(task_id, total=report.total)
        self._progress.update(
            task_id, completed=report.done, total=report.total, stage=report.stage
        )

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """The bars, and a line for those that have no room."""
        tasks = sorted(self._progress.tasks, key=lambda task: task.finished)
        if tasks:
            yield self._progress.make_tasks_table(tasks[:MOST])
        if len(tasks) > MOST:
            done = sum(task.finished for task in tasks)
            yield Text(f"  and {len(tasks) - MOST} more hosts; {done} of {len(tasks)} are done")
        if self._all is not None:
            yield Text(f"  all hosts: {total_said(self._all)}")
