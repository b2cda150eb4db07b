"""A run in tables, the same on a page and in Markdown: bounded, with nothing lost from the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from nodeinit.amounts import grouped, seconds, size, times
from nodeinit.diagram.run.hosts import by_host
from nodeinit.diagram.run.names import host_names, readable
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.spans import stays
from nodeinit.diagram.run.steps import setbacks_told, steps_told
from nodeinit.diagram.run.told import MOST_ROWS, Told


def tables(run: RunRecord) -> Iterator[Told]:
    """All that there is to tell of a run, less what is empty."""
    plain = readable(run)
    for table in (
        _states(run),
        setbacks_told(run),
        _hosts(run),
        _hooks(run),
        _refused(run),
        steps_told(run),
    ):
        if table.rows:
            yield _tidied(table, plain)


def _tidied(table: Told, plain: Callable[[str], str]) -> Told:
    """The table with names of hosts for their ids, and without columns in which nothing is."""
    kept = [i for i in range(len(table.head)) if any(row[i] for row in table.rows)]
    numbers = table.numbers.ljust(len(table.head))
    return Told(
        table.title,
        tuple(table.head[i] for i in kept),
        tuple(tuple(plain(row[i]) for i in kept) for row in table.rows),
        "".join(numbers[i] for i in kept),
    )


def _states(run: RunRecord) -> Told:
    spent: dict[str, list[float]] = {}
    failed: Counter[str] = Counter()
    ends: dict[str, str] = {}
    for stay in stays(run):
        spent.setdefault(stay.name, []).append(stay.seconds)
        failed[stay.name] += stay.failed
        ends[stay.name] = "it goes on" if stay.open else stay.tip.rpartition("\nthen ")[2]
    rows = tuple(
        (
            name,
            grouped(len(all_of_them)),
            seconds(sum(all_of_them)),
            seconds(max(all_of_them)),
            str(failed[name] or ""),
            ends[name].split("\n")[0],
        )
        for name, all_of_them in spent.items()
    )
    head = ("state", "visits", "time", "longest", "set back", "the last time, then")
    return Told("Time by state", head, rows, " nnnn")


def _hosts(run: RunRecord) -> Told:
    called = host_names(run)
    reports = getattr(run.ctx, "nodes", None) or {}
    placement = getattr(run.ctx, "placement", None)
    bundles = Counter(placement.node_ids if placement is not None else ())
    rows: list[tuple[str, ...]] = []
    found = by_host(run)
    for node_id, spans in found.items():
        fetches = [span for span in spans if span.kind != "group"]
        report = reports.get(node_id)
        last = fetches[-1] if fetches else None
        rows.append(
            (
                called(node_id),
                str(len(fetches)),
                seconds(sum(span.seconds for span in fetches)),
                last.label if last is not None else "",
                size(report.fetched) if report is not None else "",
                str(bundles[node_id] or ""),
                getattr(report, "strategy", "") or "",
            )
        )
    shown = rows[:MOST_ROWS]
    if len(rows) > MOST_ROWS:
        rest = sum(int(row[1]) for row in rows[MOST_ROWS:])
        shown.append((f"and {grouped(len(rows) - MOST_ROWS)} more", str(rest), *[""] * 5))
    head = ("host", "fetches", "time", "the last one", "brought", "bundles", "how")
    return Told("Hosts", head, tuple(shown), " nn nn")


def _hooks(run: RunRecord) -> Told:
    calls: dict[tuple[str, str], list[float]] = {}
    errors: dict[tuple[str, str], list[str]] = {}
    for step in run.steps:
        for hook in step.hooks:
            key = hook.hook, hook.callback
            calls.setdefault(key, []).append(hook.seconds)
            if hook.error:
                errors.setdefault(key, []).append(hook.error)
    rows = tuple(
        (
            hook,
            callback,
            str(len(spent)),
            seconds(sum(spent)),
            seconds(max(spent)),
            _failures(errors.get((hook, callback), [])),
        )
        for (hook, callback), spent in list(calls.items())[:MOST_ROWS]
    )
    return Told("Hooks", ("hook", "of", "calls", "time", "longest", "failed"), rows, "  nnn")


def _failures(errors: list[str]) -> str:
    if not errors:
        return ""
    return (
        errors[-1] if len(errors) == 1 else f"{times(len(errors), 'time')}, the last: {errors[-1]}"
    )


def _refused(run: RunRecord) -> Told:
    found: dict[tuple[str, str, str], list[float]] = {}
    for step in run.steps:
        if not step.accepted:
            key = str(step.occurred.event), step.before.state, step.refused or ""
            found.setdefault(key, []).append(step.at)
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    rows = [
        (event, state, str(len(at)), f"{at[0]:.3f}", f"{at[-1]:.3f}", why)
        for (event, state, why), at in ranked[:MOST_ROWS]
    ]
    if len(ranked) > MOST_ROWS:
        rest = sum(len(at) for _, at in ranked[MOST_ROWS:])
        rows.append(("…", "others", str(rest), "", "", ""))
    head = ("event", "in", "times", "first (s)", "last (s)", "why it was refused")
    return Told("Refused events", head, tuple(rows), "  nnn")
