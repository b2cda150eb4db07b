"""The hosts of a cluster as a table, with what is planned on them and what is there already."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodeinit.cli.cells import FREE, UNKNOWN, Cell, Cells
from nodeinit.cli.planned import Planned
from nodeinit.placement.topology import ClusterSnapshot, Host, amount, names

MOST = 64
"""So many hosts have rows of their own; the ones with something planned always do."""

_STYLES = ("bold cyan", "bold green", "bold magenta", "bold yellow", "bold blue", "bold red")
_GREY = "bright_black"


def print_picture(console: Console, planned: Planned) -> None:
    """Print a row for each host and a cell for each GPU, and what the cells stand for."""
    if not planned.snapshot.hosts:
        return
    cells = Cells(planned)
    shown = _shown(planned.snapshot, cells)
    drawn = {host.node_id: cells.gpus(host) for host in shown}
    console.print(_table(planned, shown, drawn, cells))
    if more := len(planned.snapshot.hosts) - len(shown):
        console.print(Text(f"  and {more} more hosts, with nothing planned on them", _GREY))
    for line in _legend(planned, cells, [c for row in drawn.values() for c in row]):
        console.print(line, soft_wrap=True)


def _shown(snapshot: ClusterSnapshot, cells: Cells) -> tuple[Host, ...]:
    """The hosts that get a row, by name: all of them, unless there are many."""
    called = names(snapshot.hosts)
    used = [host for host in snapshot.hosts if cells.used(host)]
    idle = [host for host in snapshot.hosts if not cells.used(host)]
    few = [*used, *sorted(idle, key=lambda h: not h.alive)[: max(0, MOST - len(used))]]
    return tuple(sorted(few, key=lambda host: (called[host.node_id], host.node_id)))


def _table(
    planned: Planned,
    shown: tuple[Host, ...],
    drawn: dict[str, tuple[Cell, ...]],
    cells: Cells,
) -> Table:
    called = names(planned.snapshot.hosts)
    styles = {letter: style(i) for i, (letter, _, _) in enumerate(planned.placed)}
    width = max((len(cell.label) for row in drawn.values() for cell in row), default=1)
    beside = any(cells.beside(host) for host in shown)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("host", overflow="fold", ratio=None)
    table.add_column("GPUs", overflow="fold")
    table.add_column("free", justify="right", no_wrap=True)
    if beside:
        table.add_column("without GPU", overflow="fold")
    for host in shown:
        row = [
            Text(called[host.node_id], "" if host.alive else _GREY),
            _gpus(host, drawn[host.node_id], width, styles),
            Text(_free(host, drawn[host.node_id]), "" if host.alive else _GREY),
        ]
        if beside:
            row.append(Text(" ").join(_label(x, styles) for x in cells.beside(host)))
        table.add_row(*row)
    return table


def _gpus(host: Host, cells: tuple[Cell, ...], width: int, styles: dict[str, str]) -> Text:
    if not host.alive:
        return Text("not alive", _GREY)
    if not cells:
        return Text("none", _GREY)
    parts = []
    for cell in cells:
        labels = [_label(p.label, styles) if p.ours else Text(p.label, _GREY) for p in cell.pieces]
        text = Text("/").join(labels) if labels else Text(FREE)
        text.pad_right(width - len(text))
        parts.append(text)
    joined = Text(" ").join(parts)
    joined.rstrip()
    return joined


def _label(label: str, styles: dict[str, str]) -> Text:
    letter = "".join(itertools.takewhile(str.isalpha, label))
    return Text(label, styles[letter])


def style(index: int) -> str:
    """The style of a replica, by its place among those that are drawn."""
    return _STYLES[index % len(_STYLES)]


def _free(host: Host, cells: tuple[Cell, ...]) -> str:
    """The GPUs that stay free, of all."""
    if not host.alive or not cells:
        return ""
    ours = sum(piece.share for cell in cells for piece in cell.pieces if piece.ours)
    total = int(host.total.get("GPU", 0))
    return f"{amount(max(0, host.free('GPU') - ours))} of {amount(total)}"


def _legend(planned: Planned, cells: Cells, drawn: list[Cell]) -> Iterator[Text]:
    """What the labels stand for; only of what is there to be seen."""
    labels = {piece.label for cell in drawn for piece in cell.pieces}
    if planned.placed:
        letter, replica, _ = planned.placed[0]
        yield Text(f"  {letter}0, {letter}1, …  the workers of {replica.name}, by rank", _GREY)
    if any("+" in label for label in _ours(planned)):
        yield Text("  A+0  a bundle of A, by its index, on which no worker runs", _GREY)
    for label, name in cells.group_names.items():
        if label in labels:
            yield Text(f"  {label}  taken by group {name!r}", _GREY)
    if UNKNOWN in labels:
        yield Text(f"  {UNKNOWN}  taken by others", _GREY)
    if any(cell.pieces for cell in drawn):
        yield Text("  Cells are counts: Ray chooses which GPU of a host a bundle gets.", _GREY)


def _ours(planned: Planned) -> Iterator[str]:
    for letter, replica, plan in planned.placed:
        workers = set(replica.request.workers)
        yield from (f"{letter}+{i}" for i in range(len(plan.bundles)) if i not in workers)
