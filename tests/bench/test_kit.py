"""What the test kit finds of the corpus, how soon, how small, and what it reports that is no bug.

    pytest -m bench -s tests/bench/test_kit.py

The corpus is held out: whoever tunes what the kit draws should look at the families that it misses,
not at the callbacks. `NODEINIT_RUNS` is how many sequences each correct callback goes through.
"""

from __future__ import annotations

import functools
import itertools
import os
import statistics
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest

import nodeinit.testing as kit
from nodeinit.fsm.core import Core
from nodeinit.fsm.performer import Performer
from nodeinit.testing.again import compared
from nodeinit.testing.generate import LANDMARKS, WORLDS, chance, singles
from nodeinit.testing.harness import Harness
from tests.mutants import correct
from tests.mutants.corpus import CORRECT, FAMILIES, MUTANTS, Mutant
from tests.node.test_mutants import MUTANTS as ENGINE
from tests.node.test_mutants import performing

pytestmark = pytest.mark.bench
BUDGETS = (500, 2_500)
"""A mutant is tried with each of these until it is killed."""
MACHINE_MADE = 100
"""So many sequences each machine-made mutant goes through, until one is enough."""


@attrs.frozen
class Verdict:
    """What became of a mutant: which checks failed within how many sequences, and how small."""

    mutant: Mutant
    checks: tuple[str, ...] = ()
    within: int = 0
    length: int | None = None

    @property
    def fair(self) -> bool:
        return any(is_expected(check, self.mutant) for check in self.checks)

    @property
    def smallest(self) -> bool:
        return self.length is not None and self.length <= self.mutant.events


def is_expected(check: str, mutant: Mutant) -> bool:
    """Whether a failing check is one that the corpus names."""
    return check.split("-")[0] in mutant.expected


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Callbacks of the corpus leave coroutines and tasks behind, which Python complains about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def checked(callback: Any, kwargs: Any, sequences: int) -> Any:
    """The report of so many sequences."""
    profile = kit.Profile("bench", len(WORLDS), sequences)  # type: ignore[attr-defined]
    check: Any = kit.check_callback  # type: ignore[attr-defined]
    return check(callback, kwargs=kwargs, profile=profile, on_fail="return")


def judged(mutant: Mutant) -> Verdict:
    """Try a mutant with more and more sequences until an expected check fails."""
    verdict = Verdict(mutant)
    for budget in BUDGETS:
        report = checked(mutant.cls, mutant.kwargs, budget)
        if not report.failures:
            continue
        fair = [f for f in report.failures if is_expected(f.check, mutant)]
        verdict = Verdict(
            mutant,
            tuple(f.check for f in report.failures),
            min(f.sequence for f in fair or report.failures),
            min(events_of(f.scenario) for f in fair or report.failures),
        )
        if fair:
            break
    return verdict


def events_of(scenario: Any) -> int:
    """How many things go wrong or are done from outside in a scenario."""
    return sum(len(getattr(scenario, name, ())) for name in ("faults", "acts", "others"))


@functools.cache
def verdicts() -> tuple[Verdict, ...]:
    return tuple(judged(mutant) for mutant in MUTANTS)


def test_the_corpus_is_killed() -> None:
    """Everything, each by a check that the corpus names, within 500 sequences."""
    found = verdicts()
    killed = [v for v in found if v.fair]
    print(f"\n{'family':14} killed  by another check  smallest  within (median)")
    for family in FAMILIES:
        rows = [v for v in found if v.mutant.family == family]
        fair = [v for v in rows if v.fair]
        median = statistics.median(v.within for v in fair) if fair else 0
        other = sum(bool(v.checks) and not v.fair for v in rows)
        small = sum(v.smallest for v in fair)
        print(
            f"{family:14} {len(fair):3}/{len(rows):<3} {other:15} {small:8}/{len(fair)} {median:12g}"
        )
    print(f"{'all':14} {len(killed):3}/{len(found)}")
    for verdict in found:
        mutant = verdict.mutant
        if not verdict.fair:
            saw = ", ".join(verdict.checks) or "nothing"
            print(f"  {mutant.name}: {saw} instead of {' or '.join(sorted(mutant.expected))}")
        elif not verdict.smallest:
            print(f"  {mutant.name}: {verdict.length} events, {mutant.events} would do")
    sequences = [v.within for v in killed]
    small, heldout = [v for v in killed if v.smallest], [v for v in found if is_heldout(v.mutant)]
    print(f"  sequences: median {statistics.median(sequences):g}, most {max(sequences)}")
    print(f"  in the smallest form: {len(small)} of {len(killed)}")
    print(f"  written without looking: {sum(v.fair for v in heldout)} of {len(heldout)}")

    assert len(killed) == len(found)
    assert max(sequences) <= 500 and statistics.median(sequences) <= 20
    assert len(small) >= 0.95 * len(killed)


def is_heldout(mutant: Mutant) -> bool:
    return mutant.cls.__module__ == "tests.mutants.heldout"


def test_bugs_of_the_engine_are_seen_through_callbacks_that_only_look() -> None:
    """How many of those that are planted in `tests/node` the kit finds with a callback of the corpus."""
    probes = (correct.Observes, correct.UsesItsOwnKeys, correct.CleansUpWhenCancelled)
    caught = {mutant.__name__: caught_by(mutant, probes) for mutant in ENGINE}
    found = [name for name, how in caught.items() if how]
    print(f"\n  engine: {len(found)} of {len(caught)}")
    for name, how in caught.items():
        print(f"  {name}: {how or 'nothing'}")

    assert not caught_by(None, probes)
    assert len(found) >= 0.7 * len(caught)


def caught_by(mutant: type | None, probes: Sequence[type]) -> str:
    """The check that a broken engine fails, and `""` for none."""
    for probe in probes:
        with Harness(probe) as harness:
            each = [*WORLDS, *LANDMARKS, *singles(harness.run(WORLDS[1]))]
            if mutant is not None:
                harness.engine = engine_of(mutant)
            for scenario in (*each, *itertools.islice(chance(0), 200)):
                trace = harness.run(scenario)
                breaches = trace.breaches
                if scenario in WORLDS:
                    breaches += compared(harness, scenario, trace)
                if breaches:
                    return breaches[0].check
    return ""


def engine_of(mutant: type) -> dict[str, type]:
    """A broken core, or a driver that is broken or has a broken performer."""
    if issubclass(mutant, Core):
        return {"core_cls": mutant}
    return {"driver_cls": performing(mutant) if issubclass(mutant, Performer) else mutant}


@pytest.mark.parametrize(("cls", "kwargs"), CORRECT, ids=lambda it: getattr(it, "__name__", ""))
def test_a_correct_one_is_never_reported(cls: type, kwargs: Any) -> None:
    report = checked(cls, kwargs, int(os.environ.get("NODEINIT_RUNS", "1500")))

    assert report.ok, report.text()


def test_machine_made_mutants_of_the_correct_callbacks() -> None:
    """How many changes of a right callback some check minds. What survives is intent nobody stated."""
    print(f"\n{'callback':26} killed")
    killed = made = 0
    for cls, kwargs in CORRECT:
        found = kit.mutate(cls, kwargs=kwargs, sequences=MACHINE_MADE)
        print(f"{cls.__name__:26} {found.killed:3}/{len(found.mutants)}")
        killed, made = killed + found.killed, made + len(found.mutants)
    print(f"{'all':26} {killed:3}/{made}")

    assert killed > 0
