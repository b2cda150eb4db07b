"""What a context is made of, and in what two of them differ."""

from __future__ import annotations

from typing import Any

import attrs

from nodeinit.context import FIELDS, CallbackCtx
from nodeinit.placement.request import PlacementRequest


def fingerprint(ctx: CallbackCtx) -> list[tuple[Any, str, str, Any]]:
    """Every field of a context and of the frozen values in it, each with the value it has now."""
    found = []
    owners = [("", ctx), *((f"{name}.", getattr(ctx, name)) for name in FIELDS)]
    for path, owner in owners:
        if not attrs.has(type(owner)):
            continue
        for field in attrs.fields(type(owner)):
            if not field.name.startswith("_"):
                found.append((owner, field.name, path, getattr(owner, field.name)))
    return found


def difference(prints: list[tuple[Any, str, str, Any]]) -> str | None:
    """The first field that is another object now than it was."""
    for owner, name, path, value in prints:
        if getattr(owner, name) is not value:
            return f"{path}{name}"
    return None


def different(one: CallbackCtx, other: CallbackCtx) -> list[str]:
    """The fields that differ, where handles of groups count as alike."""
    found = []
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        if name == "placement_group" and not (
            isinstance(a, PlacementRequest) or isinstance(b, PlacementRequest)
        ):
            a, b = a is None, b is None
        if a is not b and a != b:
            found.append(name)
    return found
