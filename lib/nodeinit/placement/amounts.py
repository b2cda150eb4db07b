"""Amounts of resources: integers in Ray's fixed point, 1e-4 of a unit, truncated as Ray does.

`int(amount * 10000)`: 1 GPU is 10000, a third of one is 3333.
"""

from __future__ import annotations

import math
from decimal import Decimal

UNIT = 10_000
"""One whole resource in fixed point."""


def fixed(amount: float) -> int:
    """Ray's fixed-point value of an amount that is asked for (units -> 1e-4 units, truncated).

    `ValueError` for what is not a finite number; `True` is none, though Ray takes it for 1.
    """
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError(f"{amount!r} is not a number")
    if not math.isfinite(amount):
        raise ValueError(f"{amount!r} is not finite")
    return math.trunc(amount * UNIT)


def reported(amount: float) -> int:
    """The fixed-point value of an amount that Ray reports, which is a multiple of 1e-4 already.

    Rounded: truncating again would lose a step wherever the float lies just below (0.5699).
    """
    steps = amount * UNIT
    # Beyond that a float has no room for the step; what it was written as has.
    return round(steps) if abs(steps) < 2**50 else round(Decimal(repr(amount)) * UNIT)


def amount(value: int) -> float:
    """The amount in units that a fixed-point value stands for; whole numbers as `int`."""
    whole, rest = divmod(value, UNIT)
    return whole if rest == 0 else value / UNIT
