"""Whose patience it is: the config's, where it says so, then the machine's own, then ours."""

from __future__ import annotations

import attrs

from nodeinit import LLMConfig
from nodeinit.fsm.policy import PhasePolicy, Policy
from nodeinit.node.policy import DEFAULT, policy_of
from nodeinit_machines.node_init import NODE_INIT

CONFIG = LLMConfig(model_id="a", experimental_configs={"nodeinit": {"deadlines": {"download": 7}}})


def test_a_machine_brings_its_own_and_a_config_changes_it() -> None:
    own = Policy(default=PhasePolicy(deadline=55.0, attempts=2), replans=9)
    policy = policy_of(CONFIG, attrs.evolve(NODE_INIT, policy=own))

    assert (policy.of("download").deadline, policy.of("download").attempts) == (7, 2)
    assert policy.of("placement") == own.default and policy.replans == 9


def test_a_machine_without_one_has_ours() -> None:
    policy = policy_of(CONFIG, attrs.evolve(NODE_INIT, policy=None))

    assert policy == policy_of(CONFIG, NODE_INIT)
    assert policy.of("placement") == DEFAULT.of("placement")
