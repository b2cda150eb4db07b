"""What a check found, for people: the law, the world in words, the steps, and how to see it again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from nodeinit.context import FIELDS
from nodeinit.fsm.events import Event
from nodeinit.fsm.snapshot import Step
from nodeinit.testing.checks import CHECKS, SET, hint_of
from nodeinit.testing.harness import Trace
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.trial import Breach

WIDTH = 110
STEPS = 10
_RESULTS = {"plan", "model", "placement", "observed", "nodes", "attempt", "llm_config"}


@attrs.frozen
class Failure:
    """A law that is broken, in the smallest scenario in which it was seen to be.

    `sequence` is the number of the run that showed it first.
    """

    check: str
    message: str
    scenario: Scenario
    events: tuple[str, ...]
    hint: str
    hook: str = ""
    line: str = ""
    reproduce: str = ""
    paste: tuple[str, ...] = ()
    sequence: int = 0

    def text(self, callback: str) -> str:
        """The report: at most 25 lines."""
        blamed = f"{self.hook}: " if self.hook else ""
        lines = [
            f"{callback} breaks {self.check}: {_says(self.check)}",
            *(f"  {line}" for line in clipped(f"{blamed}{self.message}").splitlines()[:2]),
            *([f"  at {self.line}"] if self.line else []),
            f"  hint: {self.hint}",
            f"  world: {world(self.scenario)}",
            *(f"  {line}" for line in went_wrong(self.scenario)[:3]),
            *(f"  {event}" for event in self.events),
            f"  again: {self.reproduce}",
            *(f"    {line}" for line in self.paste),
        ]
        return "\n".join(lines)


@attrs.frozen
class CheckReport:
    """What a check came to.

    `checks` says for each id `passed`, `failed`, `inconclusive` or `excluded`. `sequences` counts the
    runs, `states` and `edges` how many of the machine's were reached, of how many. `complete` says
    that all of them were, and the whole budget was used. `provable` is false when the callback keeps
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
    provable: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing is broken. What was not reached is not known: see `complete`."""
        return not self.failures

    def text(self) -> str:
        """The whole report: the failures, or one line, and what was not reached."""
        of = "{}/{}".format
        reached = f"{of(*self.states)} states, {of(*self.edges)} edges"
        head = (
            f"{self.callback}: {self.sequences} sequences, {reached} "
            f"(checks {SET}, profile {self.profile}, seed {self.seed})"
        )
        blocks = [failure.text(self.callback) for failure in self.failures]
        verdict = f"{len(self.failures)} failed: " if self.failures else "no law is broken: "
        return "\n\n".join([*blocks, "\n".join([verdict + head, *self.notes])])

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
            "failures": [
                {
                    "check": failure.check,
                    "events": list(failure.events),
                    "scenario": failure.scenario.to_dict(),
                    "message": failure.message,
                    "hint": failure.hint,
                    "hook": failure.hook,
                    "line": failure.line,
                    "sequence": failure.sequence,
                    "reproduce": failure.reproduce,
                }
                for failure in self.failures
            ],
            "notes": list(self.notes),
        }


def failure_of(
    breach: Breach, trace: Trace, callback: str, kwargs: Mapping[str, Any], names: Mapping[str, str]
) -> Failure:
    """The failure that a breach in a run is. `names` stand for paths that differ by machine."""

    def tidy(text: str) -> str:
        for path, name in names.items():
            text = text.replace(path, name)
        return re.sub(r"0x[0-9a-f]{6,}", "0x…", text)

    scenario = trace.scenario
    return Failure(
        breach.check,
        tidy(breach.message),
        scenario,
        tuple(tidy(line) for line in steps(trace.driver.steps)),
        hint_of(breach.check),
        breach.hook,
        breach.line,
        reproduction(callback, kwargs, scenario),
        paste(breach.check, callback, kwargs, scenario),
    )


def reproduction(callback: str, kwargs: Mapping[str, Any], scenario: Scenario) -> str:
    """The command that runs it again."""
    given = f" --kwargs {shlex.quote(json.dumps(dict(kwargs)))}" if kwargs else ""
    return f"nodeinit check {callback}{given} --scenario {shlex.quote(scenario.to_json())}"


def paste(
    check: str, callback: str, kwargs: Mapping[str, Any], scenario: Scenario
) -> tuple[str, ...]:
    """A test that runs it again."""
    kind = callback.rpartition(":")[2].rpartition(".")[2]
    name = re.sub(r"\W+", "_", f"{kind}_{check}").lower()
    given = f"kwargs={dict(kwargs)!r}, " if kwargs else ""
    return (
        f"def test_{name}():",
        f"    check_callback({kind}, {given}scenarios=[{scenario.to_python()}])",
    )


def world(scenario: Scenario) -> str:
    """The hosts and the request, in words."""
    hosts = []
    for i, (node_id, gpus) in enumerate(zip(scenario.node_ids, scenario.gpus, strict=True)):
        taken = scenario.taken[i] if i < len(scenario.taken) else 0
        hosts.append(f"{node_id} with {gpus} GPU" + (f" ({taken} taken)" if taken else ""))
    request = f"tensor {scenario.tp} x pipeline {scenario.pp}, pin {scenario.pin}"
    return f"{', '.join(hosts)}; {request}{'' if scenario.heal else ', not healed'}"


def went_wrong(scenario: Scenario) -> list[str]:
    """The faults and acts, in words."""
    found = []
    for fault in scenario.faults:
        on = f" of {fault.node_id}" if fault.kind in ("kill", "steal") else ""
        found.append(f"fault: {fault.kind}{on} in call {fault.call + 1} of {fault.op}")
    for act in scenario.acts:
        later = f" (+{act.rounds} turns)" if act.rounds > 0 else " (before the first step)"
        later = later if act.rounds else ""
        found.append(
            f"from outside: {act.what} {act.node_id}".rstrip() + f" at {act.at:g} s{later}"
        )
    for other in scenario.others:
        found.append(f"another callback fails ({other.kind}) in {other.hook} #{other.call + 1}")
    return found


def steps(all_steps: Sequence[Step]) -> list[str]:
    """The steps of a run, numbered, each with its hooks and what changed in the context."""
    told = [s for s in all_steps if s.before.state != s.after.state or s.hooks]
    lines = [f"{n:2}. {_step(step)}" for n, step in enumerate(told, 1)]
    if len(lines) > STEPS:
        left_out = len(lines) - STEPS + 1
        lines = [*lines[:2], f"    … {left_out} steps …", *lines[3 - STEPS :]]
    return [clipped(line) for line in lines]


def _step(step: Step) -> str:
    event = str(step.occurred.event)
    if step.occurred.event is Event.ERRORED and step.occurred.reason is not None:
        event += f" ({step.occurred.reason.code})"
    hooks = [f"{run.hook}{' ✗' if run.error else ''}" for run in step.hooks if _own(run.callback)]
    parts = [f"{step.at:g} s  {event}: {step.before.state} -> {step.after.state}"]
    if hooks:
        parts.append(f"hooks {', '.join(hooks)}")
    changed = _changes(step)
    if changed:
        parts.append(f"changed {changed}")
    return "; ".join(parts)


def _own(callback: str) -> bool:
    return callback != "another"


def _changes(step: Step) -> str:
    before, after = step.before.ctx, step.after.ctx
    found = []
    for name in FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old is new or old == new:
            continue
        if name in _RESULTS:
            found.append(name)
        elif name in ("custom_data", "extra_init_kwargs"):
            keys = sorted(k for k in {*old, *new} if old.get(k, _RESULTS) != new.get(k, _RESULTS))
            found.append(f"{name}[{', '.join(keys)}]")
        else:
            found.append(
                f"{name}={type(new).__name__}" if not isinstance(new, str) else f"{name}={new}"
            )
    return ", ".join(found)


def _says(check: str) -> str:
    found = CHECKS.get(check)
    return found.says if found else "a property of your own"


def clipped(text: str) -> str:
    """A line of a report, short enough to be read."""
    lines = text.splitlines() or [""]
    return "\n".join(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines)
