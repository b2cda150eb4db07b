"""The end of a run for people: what it came to, what is where, how long it took."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from nodeinit.amounts import seconds, size
from nodeinit.cli.lines import held_name, shortened
from nodeinit.cli.names import HostNames
from nodeinit.cli.outcome import HookCall, Outcome
from nodeinit.frozen import thaw
from nodeinit.fsm.events import Frame
from nodeinit.placement.topology import ClusterSnapshot, PlacedBundle

if TYPE_CHECKING:
    from nodeinit.context import CallbackCtx

_STYLES = {Frame.READY: "bold green", Frame.CANCELLED: "bold yellow", Frame.FAILED: "bold red"}
_WIDTH = 11  # of the labels


def print_end(console: Console, outcome: Outcome) -> None:
    """Print how a run ended; of a node that was ready the rest has been printed by then."""
    if outcome.state != Frame.READY:
        print_outcome(console, outcome)
        return
    console.print(Text("RELEASED", "bold"))
    for label, text in _given_back(outcome):
        _print_line(console, label, text)
    for left in outcome.cleanup_errors:
        _print_line(console, "LEFT", left)


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print what a run came to."""
    if outcome.state is None:
        return
    style = _STYLES.get(Frame(outcome.state), "bold")
    head = Text(outcome.state.upper(), style)
    if outcome.took:
        head.append(f" after {seconds(outcome.took)}", "default not bold")
    console.print(head, soft_wrap=True)
    for label, text in _rows(outcome):
        _print_line(console, label, text)


def _print_line(console: Console, label: str, text: str) -> None:
    line = Text(f"  {label:{_WIDTH}}", "dim").append(text, "not dim")
    console.print(line, soft_wrap=True)


def _rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The lines of the summary: a label, empty where a line goes on, and its text."""
    ctx = outcome.ctx
    if outcome.reason:
        yield from _under("why", outcome.reason.split("\n"))
    if ctx is not None and outcome.state == Frame.READY:
        yield from _under("model", _model(ctx))
        yield from _under("placement", _placement(ctx))
    if outcome.phases:
        times = [
            f"{name} {seconds(spent)}{_times(outcome.visits.get(name, 1))}"
            for name, spent in outcome.phases.items()
        ]
        if outcome.waiting:
            times.append(f"between tries {seconds(outcome.waiting)}")
        yield "phases", ", ".join(times)
    yield from _under("hooks", _hooks(outcome.hooks))
    if ctx is not None and outcome.state == Frame.READY:
        yield from _under("data", _data(ctx.custom_data))
    if outcome.state != Frame.READY:
        yield from _given_back(outcome)
    yield from _under("LEFT", outcome.cleanup_errors)
    if outcome.journal:
        yield "journal", outcome.journal


def _given_back(outcome: Outcome) -> Iterator[tuple[str, str]]:
    names = [held_name(held) for held in outcome.given_back]
    return _under("gave back", names or ["nothing; nothing was held"])


def _under(label: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Several lines under one label."""
    for line in lines:
        yield label, line
        label = ""


def _model(ctx: CallbackCtx) -> Iterator[str]:
    if ctx.model is None:
        return
    manifest = ctx.model.manifest
    yield ctx.model.path
    fetched = sum(report.fetched for report in ctx.nodes.values())
    how = f"{size(fetched)} fetched" if fetched else "already there"
    hosts = "one host" if len(ctx.nodes) == 1 else f"{len(ctx.nodes)} hosts"
    yield f"{len(manifest.files)} files, {size(manifest.size)}; {how}, verified on {hosts}"


def _placement(ctx: CallbackCtx) -> Iterator[str]:
    """The bundles as a table; neighbours on one host with the same resources share a line."""
    placement = ctx.placement
    if placement is None:
        return
    names = HostNames(ctx.observed or ClusterSnapshot(()))
    adopted = ", a group of the callback's own" if placement.adopted else ""
    yield f"{len(placement.bundles)} bundles, {placement.strategy}{adopted}"
    rows = [
        (_span(list(bundles)), names[node_id], resources)
        for (node_id, resources), bundles in itertools.groupby(placement.bundles, _alike)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for span, host, resources in rows:
        yield f"{span:{widths[0]}}  {host:{widths[1]}}  {resources}"


def _alike(bundle: PlacedBundle) -> tuple[str, str]:
    amounts = (f"{name} {bundle.resources[name]:g}" for name in sorted(bundle.resources))
    return bundle.node_id, ", ".join(amounts)


def _span(bundles: list[PlacedBundle]) -> str:
    first, last = bundles[0].index, bundles[-1].index
    return f"bundle {first}" if first == last else f"bundles {first}-{last}, each"


def _hooks(calls: tuple[HookCall, ...]) -> Iterator[str]:
    """The hooks in the order in which they first fired, with how often."""
    for (hook, callback), same in itertools.groupby(calls, lambda c: (c.hook, c.callback)):
        listed = list(same)
        hosts = sum(call.node_id is not None for call in listed)
        often = f" on {hosts} host{'s' * (hosts > 1)}" if hosts else ""
        often = often or _times(len(listed))
        failed = next((call.error for call in listed if call.error), None)
        yield f"{hook} of {callback}{often}" + (f": FAILED: {failed}" if failed else "")


def _times(number: int) -> str:
    return f" ({number} times)" if number > 1 else ""


def _data(data: Mapping[str, object]) -> Iterator[str]:
    """What callbacks left in `custom_data`."""
    for name in sorted(data):
        yield f"{name} = {shortened(thaw(data[name]), 200)}"
