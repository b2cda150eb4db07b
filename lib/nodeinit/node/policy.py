"""The policy of the standard machine, and what a config changes of it."""

from __future__ import annotations

import attrs

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault, nearest
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.node.phases import NodePhase

DEFAULT = Policy(
    phases={
        # Reading a config and planning are quick; waiting for capacity is what takes tries.
        NodePhase.CONFIG: PhasePolicy(deadline=600, attempts=5, backoff=Backoff(2, 2, 60)),
        # A big model over a slow link: hours, not minutes, and a stall is an error of its own.
        NodePhase.DOWNLOAD: PhasePolicy(deadline=4 * 3600, attempts=5, backoff=Backoff(2, 2, 120)),
        NodePhase.PLACEMENT: PhasePolicy(deadline=120, attempts=4, backoff=Backoff(1, 2, 30)),
    }
)


def policy_of(config: LLMConfig, machine: Definition) -> Policy:
    """The machine's policy with what `experimental_configs.nodeinit` of a config changes of it.

    A machine that has none has `DEFAULT`.

    Raises `ConfigError` for a deadline or a number of attempts of a phase that the machine lacks.
    """
    settings = config.nodeinit
    known = [phase.state for phase in machine.phases]
    changed: dict[str, dict[str, float]] = {}
    faults = []
    for name, setting in (("deadlines", "deadline"), ("attempts", "attempts")):
        for phase, value in getattr(settings, name).items():
            changed.setdefault(phase, {})[setting] = value
            if phase not in known:
                hint = nearest(phase, known)
                remedy = f"did you mean {hint!r}?" if hint else f"known: {', '.join(known)}"
                where = f"experimental_configs.nodeinit.{name}.{phase}"
                faults.append(
                    Fault(where, f"machine {machine.name} has no such phase", remedy=remedy)
                )
    if faults:
        raise ConfigError(faults, source=config.model_id)
    given = {
        name: value
        for name in ("replans", "hook_deadline", "seed")
        if (value := getattr(settings, name)) is not None
    }
    return attrs.evolve((machine.policy or DEFAULT).with_phases(**changed), **given)
