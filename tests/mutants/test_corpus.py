"""The corpus is what it says it is: without that, what is measured with it means nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from nodeinit import load_machine
from nodeinit.callbacks import CallbackSpec, check_hooks
from tests.mutants.corpus import CORRECT, FAMILIES, IDS, MODULES, MUTANTS, Mutant
from tests.mutants.world import Act, World, watch

HOOKS = load_machine("node_init").hooks
TWINS = [mutant for mutant in MUTANTS if mutant.twin is not None]
EVENTFUL = {
    "quiet": World(),
    "healed": World((2, 2), acts=(Act(20, "kill", "a"),)),
    "cancelled": World((1, 1), tp=1, pp=2, acts=(Act(1.5, "cancel"),)),
    "infeasible": World((1,)),
}
MAY_RAISE = ("TemporaryError", "PermanentError", "CancelledError")
SPINS = {"WalksInStepsOfNothing"}  # it never comes back: not to be run without a watch


def named(mutant: Mutant) -> str:
    return mutant.name


def test_there_are_enough_in_every_family() -> None:
    families = Counter(mutant.family for mutant in MUTANTS)

    assert set(FAMILIES) == set(families)
    assert min(families.values()) >= 4
    assert len(MUTANTS) >= 60
    assert len(CORRECT) >= 12
    assert {1, 2, 3} == {mutant.difficulty for mutant in MUTANTS}
    assert sum(mutant.difficulty > 1 for mutant in MUTANTS) > len(MUTANTS) / 2


def test_names_are_unique_and_importable() -> None:
    names = [mutant.name for mutant in MUTANTS] + [cls.__name__ for cls, _ in CORRECT]
    modules = {module.__name__: module for module in MODULES}

    assert [] == [name for name, count in Counter(names).items() if count > 1]
    for cls in [mutant.cls for mutant in MUTANTS] + [cls for cls, _ in CORRECT]:
        assert getattr(modules[cls.__module__], cls.__name__) is cls


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_an_entry_says_what_is_wrong(mutant: Mutant) -> None:
    assert mutant.family in FAMILIES
    assert mutant.expected and mutant.expected <= IDS
    assert 0 <= mutant.events <= 3
    assert mutant.difficulty in (1, 2, 3)
    assert mutant.events == mutant.shown_in.events
    assert mutant.bug != "As it was meant." and len(mutant.bug.splitlines()) == 1


@pytest.mark.parametrize(
    ("cls", "kwargs"),
    [(m.cls, m.kwargs) for m in MUTANTS]
    + [(m.twin, m.kwargs) for m in TWINS]
    + [(cls, kwargs) for cls, kwargs in CORRECT],
)
def test_it_has_only_hooks_that_there_are(cls: type, kwargs: Any) -> None:
    assert check_hooks(CallbackSpec(cls), cls(**kwargs), HOOKS)


@pytest.mark.parametrize("mutant", TWINS, ids=named)
def test_a_bug_shows_where_it_says_and_not_where_nothing_happens(mutant: Mutant) -> None:
    twin = mutant.twin
    assert twin is not None

    world = mutant.shown_in
    meant = watch(twin, world)
    assert watch(mutant.cls, world) != meant
    assert watch(twin, world) == meant  # what differs is the callback, and no chance
    if mutant.events:
        assert watch(mutant.cls, world.quiet) == watch(twin, world.quiet)


@pytest.mark.parametrize(
    "mutant", [m for m in MUTANTS if m.twin is None and m.name not in SPINS], ids=named
)
def test_a_bug_without_a_twin_shows_too(mutant: Mutant) -> None:
    class Nothing:
        def on_init_failed(self, ctx: Any) -> None: ...

    def outcome(seen: tuple[str, ...]) -> list[str]:
        return [line for line in seen if " -> " not in line]

    assert outcome(watch(mutant.cls, mutant.shown_in)) != outcome(watch(Nothing, mutant.shown_in))


@pytest.mark.parametrize("world", EVENTFUL)
@pytest.mark.parametrize(("cls", "kwargs"), CORRECT, ids=lambda it: getattr(it, "__name__", ""))
def test_a_correct_one_does_as_it_should(cls: type, kwargs: Any, world: str) -> None:
    seen = watch(lambda: cls(**kwargs), EVENTFUL[world])

    assert world != "quiet" or any(line.startswith("ready at") for line in seen), seen
    raised = [line for line in seen if " raised " in line and not line.startswith("failed")]
    assert [] == [line for line in raised if not any(name in line for name in MAY_RAISE)]
    assert "0 tasks run on" == [line for line in seen if line.endswith("tasks run on")][-1]
