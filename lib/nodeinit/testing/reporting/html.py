"""The report as one page that needs nothing else: no script, no network, for light and dark.

Each failure has its path as a table, and drawn on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from nodeinit.testing.checks import SET
from nodeinit.testing.reporting.paste import imports
from nodeinit.testing.reporting.picture import path_svg
from nodeinit.testing.reporting.style import STYLE
from nodeinit.testing.reporting.words import law, went_wrong, world

if TYPE_CHECKING:
    from nodeinit.testing.path import Taken
    from nodeinit.testing.report import CheckReport, Failure


def render_html(report: CheckReport) -> str:
    """The page: each failure with its path, then the checks, then the edges with their visits."""
    verdict = f"{len(report.failures)} failed" if report.failures else "no law is broken"
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(report.callback)}: {verdict}</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(report.callback)} <span class={_class(report)}>{verdict}</span></h1>",
        f"<p>{report.sequences} sequences; {report.states[0]}/{report.states[1]} states, "
        f"{report.edges[0]}/{report.edges[1]} edges; checks {SET}, profile "
        f"{escape(report.profile)}, seed {report.seed}</p>",
        *(f"<p class=note>{escape(note.strip())}</p>" for note in report.notes),
    ]
    for failure in report.failures:
        lines += _failure(report, failure)
    lines += [*_checks(report), *_edges(report), "</body></html>"]
    return "\n".join(lines) + "\n"


def _class(report: CheckReport) -> str:
    return "bad" if report.failures else "good"


def _failure(report: CheckReport, failure: Failure) -> Iterator[str]:
    blamed = f"<code>{escape(failure.hook)}</code>: " if failure.hook else ""
    yield f'<section id="{escape(failure.check)}">'
    yield f"<h2><span class=bad>{escape(failure.check)}</span> {escape(law(failure.check))}</h2>"
    yield f"<p>{blamed}{escape(failure.message)}</p>"
    if failure.line:
        yield f"<pre><b>{escape(failure.line)}</b>  {escape(failure.source)}</pre>"
    yield f"<p><b>Hint:</b> {escape(failure.hint)}</p>"
    if not failure.events:
        yield "</section>"
        return
    around = "; ".join([world(failure.scenario), *went_wrong(failure.scenario)])
    yield f"<p><b>World:</b> {escape(around)}</p>"
    if report.machine is not None:
        yield f'<div class="wide picture">{path_svg(report.machine, failure)}</div>'
    yield "<div class=wide><table><tr><th>#<th>at<th>event<th>from<th>to<th>hooks<th>changed</tr>"
    for number, taken in enumerate(failure.events, 1):
        yield _step(number, taken, number - 1 == failure.worst)
    yield "</table></div>"
    test = "\n".join([*imports((failure,), report.callback), "", *failure.paste(report.callback)])
    yield f"<p>Again:</p><pre>{escape(failure.reproduce)}</pre>"
    yield f"<p>As a test:</p><pre>{escape(test)}</pre></section>"


def _step(number: int, taken: Taken, wrong: bool) -> str:
    hooks = [*taken.hooks, *taken.meanwhile]
    if taken.failed:
        hooks[len(taken.hooks) - 1] += " ✗"
    changes = "<br>".join(
        f"<code>{escape(change.field)}</code>: <del>{escape(change.old)}</del> → "
        f"<ins>{escape(change.new)}</ins>"
        for change in taken.changes
    )
    why = f" ({escape(taken.why)})" if taken.why else ""
    return (
        f"<tr class={'wrong' if wrong else 'step'}><td>{number}<td>{taken.at:g} s"
        f"<td>{escape(taken.event)}{why}<td>{escape(taken.source)}<td>{escape(taken.target)}"
        f"<td>{'<br>'.join(map(escape, hooks))}<td>{changes}</tr>"
    )


def _checks(report: CheckReport) -> Iterator[str]:
    yield "<h2>Checks</h2><div class=wide><table><tr><th>id<th>verdict<th>what must hold</tr>"
    for check, verdict in report.checks.items():
        kind = {"passed": "good", "failed": "bad"}.get(verdict, "unsure")
        yield (
            f"<tr><td>{escape(check)}<td><span class={kind}>{verdict}</span>"
            f"<td>{escape(law(check))}</tr>"
        )
    yield "</table></div>"


def _edges(report: CheckReport) -> Iterator[str]:
    """Every edge with its visits; on the path of a failure with the failure and the step."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for failure in report.failures:
        for number, taken in enumerate(failure.events, 1):
            if taken.edge:
                key = (taken.source, taken.event, taken.target)
                where.setdefault(key, []).append(f"{failure.check} {number}")
    most = max(report.visits.values(), default=0) or 1
    yield "<h2>Edges</h2><div class=wide><table>"
    yield "<tr><th>from<th>event<th>to<th>visits<th>on the path of</tr>"
    for edge, visits in report.visits.items():
        kind = "step" if edge in where else ("plain" if visits else "never")
        cells = "".join(f"<td>{escape(word)}" for word in edge)
        bar = f'<span class=bar style="width:{round(100 * visits / most)}px"></span>'
        steps = escape(", ".join(where.get(edge, ())))
        yield f"<tr class={kind}>{cells}<td>{bar}{visits or 'never'}<td>{steps}</tr>"
    yield "</table></div>"
