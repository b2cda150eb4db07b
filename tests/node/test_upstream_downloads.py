"""Mistakes of downloads that people have today, as far as the machine and not the fetch prevents them.

The names follow the catalogue of these mistakes, D1 to D22; the others are in `tests/download`,
`tests/ray` and `tests/cli`.
"""

from __future__ import annotations

import pytest

from nodeinit import CallbackCtx, Policy
from nodeinit.clusters.simulated import SimFault
from nodeinit.fsm.policy import PhasePolicy
from tests.node.bring_up import bring_up, cluster, llm_config, states


class Counts:
    """What each call of a hook saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def on_before_init(self, ctx: CallbackCtx) -> None:
        self.seen.append(("on_before_init", ctx.attempt))

    def on_before_download(self, ctx: CallbackCtx) -> None:
        self.seen.append(("on_before_download", ctx.attempt))


@pytest.mark.parametrize("kind", ["hang", "temporary"])
def test_d21_the_model_has_a_deadline_and_tries(kind: str) -> None:
    sim = cluster(faults=[SimFault("fetch", kind)])  # type: ignore[arg-type]
    node = bring_up(sim=sim, policy=Policy(default=PhasePolicy(deadline=30, attempts=3), seed=1))

    assert states(node).count("download") == 2
    assert "ready" in states(node)
    assert sim.calls["fetch"] == 2


def test_d21_both_can_be_set_for_the_download_alone() -> None:
    settings = {"deadlines": {"download": 5}, "attempts": {"download": 2}}
    config = llm_config(nodeinit=settings)
    faults = [SimFault("fetch", "hang", call) for call in range(9)]
    node = bring_up(config=config, sim=cluster(faults=faults), policy=None)

    assert states(node)[-1] == "failed"
    assert states(node).count("download") == 2
    reason = node.snapshot.reason
    assert reason is not None and "5 s" in reason.message


def test_d22_a_retry_fires_no_hook_again() -> None:
    callback = Counts()
    sim = cluster(faults=[SimFault("fetch", "temporary")])
    node = bring_up(callback, sim=sim)

    assert states(node).count("download") == 2
    assert callback.seen == [("on_before_init", 1), ("on_before_download", 1)]


def test_d22_a_new_plan_fires_its_hook_and_says_which_it_is() -> None:
    callback = Counts()
    sim = cluster(faults=[SimFault("reserve", "steal", 0, "a")])
    node = bring_up(callback, sim=sim)

    assert "ready" in states(node)
    assert callback.seen[-2:] == [("on_before_download", 1), ("on_before_download", 2)]
