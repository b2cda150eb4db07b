"""The report for people: each failure in at most 25 lines of at most 110 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nodeinit.testing.checks import SET
from nodeinit.testing.reporting.paste import imports
from nodeinit.testing.reporting.words import WIDTH, clipped, law, went_wrong, world, wrapped

if TYPE_CHECKING:
    from nodeinit.testing.path import Taken
    from nodeinit.testing.report import CheckReport, Failure

LINES = 25
STEPS = 12


def report_text(report: CheckReport) -> str:
    """The failures, and the verdict with what was not reached."""
    blocks = [failure_text(failure, report.callback) for failure in report.failures]
    return "\n\n".join([*blocks, "\n".join([verdict_line(report), *report.notes])])


def verdict_line(report: CheckReport) -> str:
    """What it came to, in one line."""

    def of(found: int, all_of_them: int) -> str:
        return f"{found}/{all_of_them}"

    reached = f"{of(*report.states)} states, {of(*report.edges)} edges"
    verdict = f"{len(report.failures)} failed" if report.failures else "no law is broken"
    return (
        f"{verdict}: {report.callback}: {report.sequences} sequences, {reached} "
        f"(checks {SET}, profile {report.profile}, seed {report.seed})"
    )


def failure_text(failure: Failure, callback: str) -> str:
    """One failure: what is broken and where, the run in which it is, and how to see it again."""
    blamed = f"{failure.hook}: " if failure.hook else ""
    where = f"  at {failure.line}    {failure.source}".rstrip()
    said = failure.message.splitlines() or [""]
    head = [
        *wrapped(f"{callback} breaks {failure.check}: {law(failure.check)}", "", 2),
        *wrapped(f"{blamed}{said[0]}", "  ", 3),
        *([clipped(where)] if failure.line else []),
        *wrapped(f"hint: {failure.hint}", "  ", 2),
    ]
    if not failure.events:
        return "\n".join(head)
    head += [
        *wrapped(f"world: {world(failure.scenario)}", "  ", 2),
        *(clipped(f"  {line}") for line in _some(went_wrong(failure.scenario), 3)),
    ]
    tail = [
        *(_again(failure.reproduce) if failure.reproduce else ()),
        *(f"    {line}" for line in imports((failure,), callback)),
        *(f"    {line}" for line in failure.paste(callback)),
    ]
    room = min(STEPS, LINES - len(head) - len(tail))
    whole = [
        line
        for n, taken in enumerate(failure.events, 1)
        for line in wrapped(f"{n:2}. {taken}", "  ", 3)
    ]
    if len(whole) <= room:
        return "\n".join([*head, *whole, *tail])
    return "\n".join([*head, *_steps(failure.events, failure.worst, room), *tail])


def _again(command: str) -> list[str]:
    """The command, still one for a shell where it takes two lines."""
    line = f"  again: {command}"
    if len(line) <= WIDTH:
        return [line]
    before, option, scenario = line.rpartition(" --scenario ")
    return [f"{before} \\", f"    {option.strip()} {scenario}"]


def _some(lines: Sequence[str], count: int) -> list[str]:
    if len(lines) <= count:
        return list(lines)
    return [*lines[: count - 1], f"… and {len(lines) - count + 1} more of that kind"]


def _steps(events: Sequence[Taken], worst: int, room: int) -> list[str]:
    """The steps, numbered; of too many the first, the one where it went wrong, and the last."""
    lines = [clipped(f"  {n:2}. {taken}") for n, taken in enumerate(events, 1)]
    if len(lines) <= room:
        return lines
    wanted: list[int] = []
    for index in (worst, 0, len(lines) - 1, worst - 1, 1, worst + 1, len(lines) - 2, 2, worst - 2):
        if 0 <= index < len(lines) and index not in wanted:
            wanted.append(index)
    # Every gap takes a line too.
    while wanted and len(_with_gaps(lines, wanted)) > room:
        wanted.pop()
    return _with_gaps(lines, wanted)


def _with_gaps(lines: Sequence[str], wanted: Sequence[int]) -> list[str]:
    found: list[str] = []
    at = 0
    for index in sorted(wanted):
        if index > at:
            found.append(f"      … {index - at} more steps …")
        found.append(lines[index])
        at = index + 1
    return found if at == len(lines) else [*found, f"      … {len(lines) - at} more steps …"]
