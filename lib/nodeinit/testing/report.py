"""What a check came to, as values: every report (text, JSON, JUnit, HTML, …) is made of these."""

from __future__ import annotations

import json
import linecache
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.fsm.definition import Definition
from nodeinit.testing.checks import hint_of
from nodeinit.testing.path import Taken, path_of, tidied
from nodeinit.testing.reporting.paste import given_json, pasted
from nodeinit.testing.reporting.text import failure_text, report_text, verdict_line
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.scenario_line import to_line
from nodeinit.testing.trial import Breach

if TYPE_CHECKING:
    from nodeinit.testing.harness import Harness
    from nodeinit.testing.trace import Trace

EdgeKey = tuple[str, str, str]
"""An edge by its words: from, event, to."""


@attrs.frozen
class Failure:
    """A law that is broken, in the smallest scenario in which it was seen to be.

    Without `events` it is about no scenario in particular, and nothing reproduces it.

    `events` is the path of that run; `hook` is to blame, if one is, at `line` (`file.py:12`), whose
    text is `source`. `reproduce` is the command that runs it again, `kwargs` and `machine` what the
    callback was made and run with (no `machine`: the standard one), `origin` where a property of the
    author's own that is broken can be imported from, `sequence` the number of the run that showed it
    first.
    """

    check: str
    message: str
    scenario: Scenario
    events: tuple[Taken, ...]
    hint: str
    hook: str = ""
    line: str = ""
    source: str = ""
    reproduce: str = ""
    kwargs: Mapping[str, Any] = attrs.field(factory=dict)
    machine: str = ""
    origin: str = ""
    sequence: int = 0

    @property
    def worst(self) -> int:
        """The index in `events` where it went wrong: the last step of the hook to blame, or the last."""
        blamed = [
            i
            for i, taken in enumerate(self.events)
            if self.hook
            and (self.hook in taken.hooks or any(self.hook in each for each in taken.meanwhile))
        ]
        return blamed[-1] if blamed else len(self.events) - 1

    def text(self, callback: str) -> str:
        """The report: at most 25 lines."""
        return failure_text(self, callback)

    def paste(self, callback: str) -> tuple[str, ...]:
        """A test that fails while the law is broken."""
        return pasted(self, callback) if self.events else ()

    def to_dict(self) -> dict[str, Any]:
        """The failure for programs; `nodeinit replay` reads it."""
        plain = given_json(self.kwargs)
        return {
            "check": self.check,
            "events": [taken.to_dict() for taken in self.events],
            "scenario": self.scenario.to_dict(),
            "message": self.message,
            "hint": self.hint,
            "hook": self.hook,
            "line": self.line,
            "sequence": self.sequence,
            "reproduce": self.reproduce,
            **({"kwargs": plain} if plain else {}),
            **({"machine": self.machine} if self.machine else {}),
        }


@attrs.frozen
class CheckReport:
    """What a check came to.

    `checks` says for each id `passed`, `failed`, `inconclusive` or `excluded`. `sequences` counts the
    runs, `states` and `edges` how many of the machine's were reached, of how many; `visits` says how
    often each edge was taken. `complete` says that all of them were, and that no sequence within the
    bounds that the notes state was left out. `expected` says what the excluded ones would have come
    to: what was to fail and `passed` is stale. `provable` is false when the callback keeps
    state where runs cannot be told apart by it, or works where nobody watches: `notes` say what.
    """

    callback: str
    profile: str
    seed: int
    sequences: int
    states: tuple[int, int]
    edges: tuple[int, int]
    complete: bool
    checks: Mapping[str, str]
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    expected: Mapping[str, str] = attrs.field(factory=dict)
    visits: Mapping[EdgeKey, int] = attrs.field(factory=dict)
    machine: Definition | None = attrs.field(default=None, repr=False)
    provable: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing is broken. What was not reached is not known: see `complete`."""
        return not self.failures

    def summary(self) -> str:
        """The verdict in one line."""
        return verdict_line(self)

    def text(self) -> str:
        """All failures, and the verdict with what was not reached."""
        return report_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "ok": self.ok,
            "callback": self.callback,
            "sequences": self.sequences,
            "complete": self.complete,
            "provable": self.provable,
            "states": list(self.states),
            "edges": list(self.edges),
            "checks": dict(self.checks),
            "failures": [failure.to_dict() for failure in self.failures],
            "notes": list(self.notes),
        }


def failure_of(breach: Breach, trace: Trace, harness: Harness) -> Failure:
    """The failure that a breach in a run is."""
    names, kwargs = harness.names, dict(harness.spec.kwargs)
    return Failure(
        check=breach.check,
        message=tidied(breach.message, names),
        scenario=trace.scenario,
        events=path_of(trace, names),
        hint=hint_of(breach.check),
        hook=breach.hook,
        line=breach.line,
        source=_source(breach.line, harness.files),
        reproduce=_again(harness, kwargs, trace.scenario),
        kwargs=kwargs,
        machine=harness.machine_name,
        origin=next((p.home for p in harness.properties if p.id == breach.check), ""),
    )


def _again(harness: Harness, kwargs: Mapping[str, Any], scenario: Scenario) -> str:
    """The command that runs it again."""
    words: Sequence[str] = ["nodeinit", "check", harness.spec.name]
    plain = given_json(kwargs)
    if plain:
        words = [*words, "--kwargs", json.dumps(plain)]
    if harness.machine_name:
        words = [*words, "--machine", harness.machine_name]
    return shlex.join([*words, "--scenario", to_line(scenario)])


def _source(line: str, files: Mapping[str, str]) -> str:
    """The text of a line of the callback's own files."""
    name, _, number = line.rpartition(":")
    return linecache.getline(files[name], int(number)).strip() if name in files else ""
