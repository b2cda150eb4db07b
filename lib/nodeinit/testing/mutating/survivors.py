"""Running every mutant of a callback through the checks, and telling which of them nothing minds."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm.definition import Definition
from nodeinit.testing.check import check_callback
from nodeinit.testing.generate import OPS, WORLDS, chance, singles
from nodeinit.testing.harness import Harness
from nodeinit.testing.machines import STANDARD, hooks_that_stop, own_phases
from nodeinit.testing.mutating.operators import Place, changed, places
from nodeinit.testing.mutating.source import Source, essence, mutant, source_of
from nodeinit.testing.properties import Property
from nodeinit.testing.reporting.words import clipped
from nodeinit.testing.scenario import Scenario

TWICE = 2
"""So many scenarios, the plain ones, are also run again and with hooks called twice."""


@attrs.frozen
class Mutant:
    """A changed class: where (`file.py:12`), how, the line before and after, and who killed it."""

    line: str
    says: str
    old: str
    new: str
    killed_by: str = ""


@attrs.frozen
class MutationReport:
    """All mutants of a callback. `equivalent` ones, whose code is the same, are not among them."""

    callback: str
    sequences: int
    mutants: tuple[Mutant, ...]
    equivalent: int = 0

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """Those that no check minds."""
        return tuple(mutant for mutant in self.mutants if not mutant.killed_by)

    @property
    def killed(self) -> int:
        """How many a check minds."""
        return len(self.mutants) - len(self.survivors)

    def text(self) -> str:
        """The lines that could be otherwise, each as a short diff, then how many mutants there are."""
        lines: dict[tuple[str, str], list[Mutant]] = {}
        for each in self.survivors:
            lines.setdefault((each.line, each.old), []).append(each)
        blocks = [
            line
            for (where, old), mutants in lines.items()
            for line in (where, f"  - {old}", *(f"  + {m.new}    ({m.says})" for m in mutants))
        ]
        count = len({mutant.line for mutant in self.survivors})
        left = (
            f"{count} line(s) that no check constrains" if blocks else "every line is constrained"
        )
        head = f"{self.callback}: {self.killed}/{len(self.mutants)} mutants killed, {left}"
        hint = (
            "say what these lines are for with @ensures or @finally_, or that it does not matter"
            if blocks
            else ""
        )
        budget = f"(at most {self.sequences} sequences each, {self.equivalent} equivalent left out)"
        told = [*map(clipped, blocks), *([""] if blocks else []), head, f"  {budget}"]
        return "\n".join([*told, *([f"  {hint}"] if hint else [])])

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "callback": self.callback,
            "sequences": self.sequences,
            "mutants": len(self.mutants),
            "killed": self.killed,
            "equivalent": self.equivalent,
            "survivors": [
                {"line": m.line, "says": m.says, "old": m.old, "new": m.new} for m in self.survivors
            ],
        }


def mutate(
    callback: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    sequences: int = 100,
    seed: int = 0,
    properties: Sequence[Property] = (),
    allow_exceptions: tuple[type[Exception], ...] = (),
    machine: str | Definition = STANDARD,
) -> MutationReport:
    """Change a callback's class in one place after the other, and see which changes no check minds.

    `callback` is a class at the top level of a module, or `"module:Class"`. Every mutant is run
    through the same scenarios, `sequences` at most. Raises `CallbackFailed` when the callback itself
    breaks a law in one of them, `ConfigError` when it cannot be mutated. The same arguments give the
    same report.
    """
    source = source_of(callback, kwargs or {})
    options: dict[str, Any] = {
        "properties": properties,
        "allow_exceptions": allow_exceptions,
        "machine": machine,
    }
    with Harness(callback, kwargs, **options) as harness:
        scenarios = list(itertools.islice(_scenarios(harness, seed), sequences))
        broken, found = _broken(harness, scenarios)
        name = harness.spec.name
    if found:
        check_callback(callback, kwargs=kwargs, scenarios=[broken], **options)
        problem = f"breaks {found} in one run and not in the next: mend that first"
        raise ConfigError(Fault("callback", problem, repr(name)))
    mutants, equivalent = [], 0
    seen = {essence(source.code(changed(source.tree, _NOWHERE)))}
    for place in places(source.tree):
        tree = changed(source.tree, place)
        code = source.code(tree)
        kind = essence(code)
        if kind in seen:
            equivalent += 1
            continue
        seen.add(kind)
        killer, killed_by = _killed(source, code, kwargs, options, scenarios)
        if killer is not None:  # what killed one soon kills another
            scenarios.remove(killer)
            scenarios.insert(0, killer)
        mutants.append(_told(source, tree, place, killed_by))
    return MutationReport(name, sequences, tuple(mutants), equivalent)


_NOWHERE = Place(0, "nothing", lambda _: None)


def _scenarios(harness: Harness, seed: int) -> Iterator[Scenario]:
    """The plain worlds, then single faults and chance in turns."""
    hooks = hooks_that_stop(harness.machine)
    plain = WORLDS[:TWICE]
    yield from plain
    each = [s for world in plain for s in singles(harness.run(world), hooks)]
    random = chance(seed, (*OPS, *own_phases(harness.machine)), hooks)
    for n in range(len(each)):
        yield each[n * 41 % len(each)]
        yield next(random)


def _broken(harness: Harness, scenarios: Sequence[Scenario]) -> tuple[Scenario, str]:
    """The first scenario in which a law is broken, and which; no law where none is."""
    for scenario in scenarios:
        trace = harness.run(scenario)
        if trace.breaches:
            return scenario, trace.breaches[0].check
        if scenario in WORLDS[:TWICE]:
            if harness.same(trace, harness.run(scenario, seed=1)):
                return scenario, "H10-deterministic"
            twice = harness.run(scenario, twice=True).breaches
            if any(breach.check == "H8-idempotent" for breach in twice):
                return scenario, "H8-idempotent"
    return scenarios[0], ""


def _killed(
    source: Source, code: Any, kwargs: Any, options: Mapping[str, Any], scenarios: list[Scenario]
) -> tuple[Scenario | None, str]:
    """The scenario that a mutant does not survive, and what it breaks there."""
    try:
        with mutant(source, code) as make, Harness(make, kwargs, **options) as harness:
            scenario, check = _broken(harness, scenarios)
    except Exception as error:  # it cannot even be made
        return None, type(error).__name__
    return (scenario, check) if check else (None, "")


def _told(source: Source, tree: ast.ClassDef, place: Place, killed_by: str) -> Mutant:
    node = list(ast.walk(source.tree))[place.index]
    number = getattr(node, "lineno", source.tree.lineno)
    return Mutant(
        line=f"{source.file}:{number}",
        says=place.says,
        old=source.line(number),
        new=_unparsed(tree, number),
        killed_by=killed_by,
    )


def _unparsed(tree: ast.ClassDef, number: int) -> str:
    """The changed code of a line: the innermost statement that covers it, on one line."""
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= number <= (node.end_lineno or number)
    ]
    inner = min(around, key=lambda node: ((node.end_lineno or 0) - node.lineno, -node.col_offset))
    return " ".join(ast.unparse(inner).splitlines()[0].split())
