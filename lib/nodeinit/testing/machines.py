"""The machine that a check runs: any definition for nodes, with everything in it able to go wrong."""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import Any

import attrs

from nodeinit.context import CallbackCtx
from nodeinit.errors import ConfigError, Fault, NodeInitError
from nodeinit.fsm.definition import Activity, Definition, Phase
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.run import Run
from nodeinit.node import activities

STANDARD = "node_init"


def machine_to_check(machine: str | Definition) -> Definition:
    """A definition, an installed one by its name, or that of `"module:ATTR"`, prepared for a check.

    The work of a phase of the author's own can fail, hang and be slow, as the calls of the cluster
    can: its name is the operation of a `SimFault`. Raises `ConfigError` for what is no machine of
    nodes (its context must be a `CallbackCtx`).
    """
    definition = machine if isinstance(machine, Definition) else _named(machine)
    if definition.context is not CallbackCtx:
        problem = f"is about a {definition.context.__name__}, not a CallbackCtx"
        raise ConfigError(Fault("machine", problem, repr(definition.name)))
    return attrs.evolve(definition, phases=tuple(map(_able_to_fail, definition.phases)))


def name_of_machine(machine: str | Definition) -> str:
    """What a report calls it; nothing for the standard one."""
    name = machine.name if isinstance(machine, Definition) else machine
    return "" if name == STANDARD else name


def own_phases(definition: Definition) -> tuple[str, ...]:
    """The phases whose work is not ours: they are operations of faults themselves."""
    return tuple(phase.state for phase in definition.phases if not _is_ours(phase))


def hooks_that_stop(definition: Definition) -> tuple[str, ...]:
    """The hooks whose failing stops an edge, in the order in which a run meets them."""
    fired = [hook for edge in definition.edges if not edge.observes for hook in edge.hooks]
    return tuple(dict.fromkeys(fired))


def _named(name: str) -> Definition:
    module_name, colon, attribute = name.partition(":")
    if not colon:
        return load_machine(name)
    try:
        found = getattr(importlib.import_module(module_name), attribute, None)
    except NodeInitError:
        raise
    except Exception as error:
        problem = f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        raise ConfigError(Fault("machine", problem, repr(name))) from error
    if not isinstance(found, Definition):
        raise ConfigError(Fault("machine", "is no Definition", repr(name)))
    return found


def _is_ours(phase: Phase) -> bool:
    return inspect.getmodule(_activity(phase.activity)) is activities


def _activity(activity: Any) -> Any:
    """The function itself, whatever it is wrapped in."""
    while hasattr(activity, "func"):
        activity = activity.func
    return inspect.unwrap(activity)


def _able_to_fail(phase: Phase) -> Phase:
    if _is_ours(phase):
        return phase  # the cluster that it asks can
    work: Activity = phase.activity

    @functools.wraps(work)
    async def activity(ctx: CallbackCtx, run: Run) -> Any:
        await run.cluster.work(phase.state)
        return await work(ctx, run)

    return attrs.evolve(phase, activity=activity)
