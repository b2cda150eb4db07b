"""One thing that was looked at: whether it is well, and what to do if it is not."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

import attrs
import click


class Level(enum.StrEnum):
    """How a thing is: well, worth knowing, or in the way of somebody."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}


@attrs.frozen
class Finding:
    """What `says` a sentence says, and how to mend it. Anything but OK has a remedy."""

    level: Level
    says: str
    remedy: str | None = None

    def lines(self) -> Iterator[str]:
        """It for people: the remedy on a line of its own."""
        yield f"  {click.style(f'{self.level:<4}', fg=_COLOURS[self.level])}  {self.says}"
        if self.remedy:
            yield f"        -> {self.remedy}"

    def to_dict(self, topic: str) -> dict[str, str | None]:
        """It as JSON."""
        return {
            "topic": topic,
            "level": str(self.level),
            "says": self.says,
            "remedy": self.remedy,
        }


def ok(says: str) -> Finding:
    """Something that is well."""
    return Finding(Level.OK, says)


def warn(says: str, remedy: str) -> Finding:
    """Something worth knowing."""
    return Finding(Level.WARN, says, remedy)


def bad(says: str, remedy: str) -> Finding:
    """Something that is in the way."""
    return Finding(Level.BAD, says, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level of several; OK of none."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
