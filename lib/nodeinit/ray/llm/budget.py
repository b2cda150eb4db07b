"""How long a node may take under `ray.serve.llm`, where the engine has a deadline for its start."""

from __future__ import annotations

import importlib
import os
from typing import Any

import attrs

from nodeinit.fsm.definition import Definition
from nodeinit.fsm.policy import Policy

VARIABLE = "RAYLLM_ENGINE_START_TIMEOUT_S"
_DEFAULT = 3600.0  # seconds, Ray's own
_LEFT, _SHARE = 300.0, 0.1
"""What is left for the engine itself: five minutes, or a tenth where there is little in all."""


def engine_deadline() -> float:
    """The seconds that an engine has to start, node included.

    As Ray read it, which may be before somebody set the variable.
    """
    try:
        constants: Any = importlib.import_module("ray.llm._internal.serve.constants")
        return float(constants.ENGINE_START_TIMEOUT_S)
    except (ImportError, AttributeError):
        return float(os.environ.get(VARIABLE, _DEFAULT))


def budget_of(deadline: float) -> float:
    """The seconds that the node may take of them."""
    return deadline - min(_LEFT, deadline * _SHARE)


def within(policy: Policy, machine: Definition, budget: float) -> Policy:
    """A policy in which no phase has more time than there is in all.

    And which does not heal: under Serve a replica that lost a host loses its engine with it, and
    is replaced as a whole.
    """
    phases = {
        phase.state: {"deadline": min(policy.of(phase.state).deadline, budget)}
        for phase in machine.phases
    }
    return attrs.evolve(policy.with_phases(**phases), heal=False)
