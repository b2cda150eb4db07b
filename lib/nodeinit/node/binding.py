"""From the callbacks of a config to those that a machine calls."""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.callbacks import CallbackSpec, check_hooks, get_or_create
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.hooks import BoundCallback


def bind_callbacks(specs: Sequence[CallbackSpec], machine: Definition) -> tuple[BoundCallback, ...]:
    """Make callbacks and check their hooks against a machine; raises `ConfigError`."""
    bound = []
    for spec in specs:
        instance = get_or_create(spec)
        hooks = frozenset(check_hooks(spec, instance, machine.hooks))
        bound.append(BoundCallback(spec.name, instance, hooks, spec.raise_error, spec))
    return tuple(bound)
