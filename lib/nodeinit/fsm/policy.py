"""How patient a machine is, as data: deadlines, attempts and backoff per phase.

All times are seconds. The jitter comes from a seeded generator, so the same machine with the same
seed waits the same times.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import attrs

from nodeinit.frozen import EMPTY, FrozenMap, freeze_map


def _positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be above 0, not {value!r}")


def _not_negative(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must not be negative, not {value!r}")


@attrs.frozen
class Backoff:
    """Exponential backoff: `initial * factor**n`, at most `maximum`, less up to `jitter` of it."""

    initial: float = attrs.field(default=1.0, validator=_not_negative)
    factor: float = attrs.field(default=2.0, validator=_positive)
    maximum: float = attrs.field(default=60.0, validator=_not_negative)
    jitter: float = attrs.field(default=0.25, validator=_not_negative)

    def seconds(self, failures: int, rng: random.Random) -> float:
        """How long to wait after the n-th failure in a row (1 for the first)."""
        full = min(self.maximum, self.initial * self.factor ** min(failures - 1, 64))
        return full * (1 - self.jitter * rng.random())


@attrs.frozen
class PhasePolicy:
    """One phase: its deadline for a single try, and how many tries there are in a row."""

    deadline: float = attrs.field(default=600.0, validator=_positive)
    attempts: int = attrs.field(default=3, validator=_positive)
    backoff: Backoff = Backoff()


@attrs.frozen(cache_hash=True)
class Policy:
    """The policy of a machine.

    `phases` overrides `default` by phase. `replans` bounds how often a plan may be given up for a
    new one (by `displaced` or by healing). `heal` says whether a ready node that lost something is
    brought back. `hook_deadline` bounds each call of a hook. `grace` is how long work that was told
    to stop may take to end, `undo_deadline` how long each attempt to give one thing back may take,
    `undo_attempts` how many there are.
    """

    default: PhasePolicy = PhasePolicy()
    phases: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    replans: int = attrs.field(default=3, validator=_not_negative)
    heal: bool = True
    hook_deadline: float = attrs.field(default=60.0, validator=_positive)
    grace: float = attrs.field(default=20.0, validator=_positive)
    undo_deadline: float = attrs.field(default=30.0, validator=_positive)
    undo_attempts: int = attrs.field(default=3, validator=_positive)
    seed: int = 0

    def of(self, phase: str) -> PhasePolicy:
        """The policy of one phase."""
        found: PhasePolicy = self.phases.get(phase, self.default)
        return found

    def backoff(self, phase: str, visit: int, tries: int, asked: float | None) -> float:
        """Seconds to wait before a phase is tried again; never less than its source asked for."""
        rng = random.Random(f"{self.seed}/{phase}/{visit}")
        return max(asked or 0.0, self.of(phase).backoff.seconds(tries, rng))

    def with_phases(self, **phases: Mapping[str, Any]) -> Policy:
        """A copy with some settings of some phases changed: `with_phases(download={"attempts": 5})`."""
        changed = dict(self.phases)
        for phase, settings in phases.items():
            changed[phase] = attrs.evolve(self.of(phase), **settings)
        return attrs.evolve(self, phases=changed)
