"""The whole corpus, by the name of each callback."""

from __future__ import annotations

from tests.mutants import (
    cancellation,
    colour,
    contract,
    correct,
    environment,
    heldout,
    leaks,
    liveness,
    ordering,
    placement,
    retry,
    shared,
)
from tests.mutants.registry import CORRECT, FAMILIES, IDS, MUTANTS, Mutant

MODULES = (
    cancellation,
    colour,
    contract,
    correct,
    environment,
    heldout,
    leaks,
    liveness,
    ordering,
    placement,
    retry,
    shared,
)

__all__ = ["CORRECT", "FAMILIES", "IDS", "MODULES", "MUTANTS", "Mutant"]
