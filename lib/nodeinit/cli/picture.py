"""The hosts of a cluster as a table, with what is planned on them and what is there already."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodeinit.diagram.plan.cells import FREE, UNKNOWN, Cell, Cells, Slot, count, device
from nodeinit.diagram.plan.words import natural
from nodeinit.placement.planned import Planned
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
    drawn = {host.node_id: cells.devices(host) for host in shown}
    console.print(_table(planned, shown, drawn, cells))
    if more := len(planned.snapshot.hosts) - len(shown):
        console.print(Text(f"  and {more} more hosts, with nothing planned on them", _GREY))
    slots = [slot for host in shown for slot in cells.slots(host)]
    for line in _legend(planned, cells, [c for row in drawn.values() for c in row], slots):
        console.print(line, soft_wrap=True)


def _shown(snapshot: ClusterSnapshot, cells: Cells) -> tuple[Host, ...]:
    """The hosts that get a row, by name: all of them, unless there are many."""
    called = names(snapshot.hosts)
    used = [host for host in snapshot.hosts if cells.used(host)]
    idle = [host for host in snapshot.hosts if not cells.used(host)]
    few = [*used, *sorted(idle, key=lambda h: not h.alive)[: max(0, MOST - len(used))]]
    return tuple(sorted(few, key=lambda host: (natural(called[host.node_id]), host.node_id)))


def _table(
    planned: Planned,
    shown: tuple[Host, ...],
    drawn: dict[str, tuple[Cell, ...]],
    cells: Cells,
) -> Table:
    called = names(planned.snapshot.hosts)
    labels = [[len(cell.label) for cell in row] for row in drawn.values()]
    widths = [max(column) for column in itertools.zip_longest(*labels, fillvalue=0)]
    beside = any(cells.beside(host) for host in shown)
    kinds = sorted({device(host) for host in shown if count(host)}) or ["GPU"]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("host", overflow="fold", ratio=None)
    table.add_column(" or ".join(f"{kind}s" for kind in kinds), overflow="fold")
    table.add_column("free", justify="right", no_wrap=True)
    if beside:
        table.add_column(f"without {' or '.join(kinds)}", overflow="fold")
    for host in shown:
        row = [
            Text(called[host.node_id], "" if host.alive else _GREY),
            _devices(host, drawn[host.node_id], widths),
            Text(_free(host, cells)),
        ]
        if beside:
            row.append(Text(" ").join(_label(slot) for slot in cells.beside(host)))
        table.add_row(*row)
    return table


def _devices(host: Host, cells: tuple[Cell, ...], widths: list[int]) -> Text:
    if not host.alive:
        return Text("not alive", _GREY)
    if not cells:
        return Text("too many to draw" if count(host) else "none", _GREY)
    parts = []
    for cell, width in zip(cells, widths, strict=False):
        labels = [Text(p.label, style(p.slot.place) if p.slot else _GREY) for p in cell.pieces]
        text = Text("/").join(labels) if labels else Text(FREE)
        text.pad_right(width - len(text))
        parts.append(text)
    joined = Text(" ").join(parts)
    joined.rstrip()
    return joined


def _label(slot: Slot) -> Text:
    return Text(slot.label, style(slot.place))


def style(place: int) -> str:
    """The style of a replica, by its place among those that are drawn."""
    return _STYLES[place % len(_STYLES)]


def _free(host: Host, cells: Cells) -> str:
    """The devices that stay free, of all."""
    if not host.alive or not count(host):
        return ""
    total = int(host.total.get(device(host), 0))
    return f"{amount(cells.left(host))} of {amount(total)}"


def _legend(
    planned: Planned, cells: Cells, drawn: list[Cell], slots: Iterable[Slot]
) -> Iterator[Text]:
    """What the labels stand for; only of what is there to be seen."""
    labels = {piece.label for cell in drawn for piece in cell.pieces}
    models = [placed for placed in planned.placed if not placed[1].is_ingress]
    if models:
        letter, replica, _ = models[0]
        yield Text(f"  {letter}0, {letter}1, …  the workers of {replica.name}, by rank", _GREY)
    if any(slot.rank is None for slot in slots):
        yield Text("  A+0  a bundle of A, by its index, on which no worker runs", _GREY)
    for label, name in cells.group_names.items():
        if label in labels:
            yield Text(f"  {label}  taken by group {name!r}", _GREY)
    if UNKNOWN in labels:
        yield Text(f"  {UNKNOWN}  taken by others", _GREY)
    if any(cell.pieces for cell in drawn):
        yield Text("  Cells are counts: Ray chooses which GPU of a host a bundle gets.", _GREY)
