"""Amounts as people write them on a command line: `30d`, `500GiB`."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
}


def age(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """A time in seconds, from `90s`, `12h`, `30d` or `2w`; a number alone leaves open of what."""
    amount = _amount(value, _SECONDS)
    if value is not None and amount is None:
        raise click.BadParameter(f"{value!r} is not a time; write 90s, 45min, 12h, 30d or 2w.")
    return amount


def amount_of_bytes(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> int | None:
    """A number of bytes, from `500GiB`, `1.5TB` or `1000000`."""
    amount = _amount(value, _BYTES)
    if value is not None and amount is None:
        raise click.BadParameter(f"{value!r} is not a size; write 500GiB, 1.5TB or 200MB.")
    return None if amount is None else int(amount)


def _amount(value: str | None, units: dict[str, int]) -> float | None:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value or "")
    if found is None or found[2].lower() not in units:
        return None
    return float(found[1]) * units[found[2].lower()]
