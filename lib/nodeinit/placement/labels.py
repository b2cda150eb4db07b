"""Ray's label selectors: which hosts a bundle may be put on.

A selector maps label keys to conditions, all of which must hold:

    v           the label is there and equals v
    !v          the label is missing or differs from v
    in(a,b)     the label is there and is one of these
    !in(a,b)    the label is missing or is none of these

Source: ray `src/ray/common/scheduling/label_selector.cc` and `ray/_private/label_utils.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ACCELERATOR_TYPE = "ray.io/accelerator-type"
"""The label in which Ray says what accelerator a host has."""

NODE_ID = "ray.io/node-id"
"""The label that every host of Ray has: its own id."""

_VALUE = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_CONDITION = re.compile(rf"!?{_VALUE}|!?in\({_VALUE}(?:,{_VALUE})*\)|")
_KEY = re.compile(rf"(?:(?P<prefix>{_VALUE}(?:\.{_VALUE})*)/)?{_VALUE}")
_LONGEST_PREFIX = 253


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a host with these labels satisfies every condition of a selector."""
    return all(_holds(condition, labels.get(key)) for key, condition in selector.items())


def _holds(condition: str, label: str | None) -> bool:
    negated = condition.startswith("!")
    values = _values(condition.removeprefix("!"))
    return (label in values) is not negated


def _values(condition: str) -> list[str]:
    if condition.startswith("in(") and condition.endswith(")"):
        return condition[3:-1].split(",")
    return [condition]


def problem(selector: Mapping[str, str]) -> str | None:
    """What is wrong with a selector, or `None`.

    Stricter than Ray in two places where Ray accepts a condition that can never hold: a space after
    a comma (`in(a, b)`, where Ray looks for the value " b") and brackets without `in`.
    """
    for key, condition in selector.items():
        found = _KEY.fullmatch(key) if isinstance(key, str) else None
        if found is None or len(found["prefix"] or "") > _LONGEST_PREFIX:
            return f"{key!r} is not a label key; write [prefix/]name in letters, digits and . _ -"
        if not isinstance(condition, str) or not _CONDITION.fullmatch(condition):
            return (
                f"{condition!r} is not a condition on a label; "
                "write v, !v, in(a,b) or !in(a,b), without spaces"
            )
    return None


def describe(selector: Mapping[str, str]) -> str:
    """A selector as a person reads it: `zone=a, tier=!in(spot,test)`, sorted by key."""
    return ", ".join(f"{key}={condition}" for key, condition in sorted(selector.items()))
