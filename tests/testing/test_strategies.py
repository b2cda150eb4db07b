"""The public strategies: what they draw is valid and varied, shrinks to what is simple, loads late."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from nodeinit import CallbackCtx, LLMConfig, PlacementRequest
from nodeinit.context import NodeModelDownloadable
from nodeinit.node.planning import request_of
from nodeinit.placement.planner import plan
from nodeinit.placement.rules import violations, violations_of_placement
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan
from nodeinit.testing import Scenario
from nodeinit.testing.drawn_contexts import STAGES
from nodeinit.testing.hypothesis_entry import register
from nodeinit.testing.strategies import (
    clusters,
    configs,
    contexts,
    requests,
    scenarios,
    worlds,
)

register()
FEW = settings(max_examples=25, deadline=None)
QUIET = settings(max_examples=2_000, deadline=None, phases=[Phase.generate, Phase.shrink])


def least(strategy: st.SearchStrategy[Any], condition: Any = lambda _: True) -> Any:
    """The simplest value that a strategy has, of those with a property."""
    return find(strategy, condition, settings=QUIET)


@FEW
@given(configs())
def test_a_config_can_be_planned_and_written(config: LLMConfig) -> None:
    assert PlacementRequest.from_config(config).world_size <= 8
    assert hash(config) == hash(config.evolve())
    assert () == config.callbacks


@FEW
@given(st.data())
@pytest.mark.parametrize("hook", [*STAGES, "on_init_failed"])
def test_a_context_has_what_the_machine_knows_when_the_hook_fires(
    hook: str, data: st.DataObject
) -> None:
    ctx = data.draw(contexts(hook))
    stage = STAGES.get(hook)

    if stage is not None:
        assert (stage > 0, stage > 0, stage > 1, stage > 2, stage > 2) == (
            ctx.plan is not None,
            ctx.model is not None,
            bool(ctx.nodes),
            ctx.placement is not None,
            ctx.observed is not None,
        )
    if ctx.nodes:
        assert set(ctx.nodes) == set(ctx.plan.hosts)
        assert all(
            report.verified and report.path == ctx.model.path for report in ctx.nodes.values()
        )
    if ctx.placement is not None:
        broken = violations_of_placement(request_of(ctx), ctx.placement, ctx.observed, ctx.plan)
        assert () == tuple(broken)


def test_contexts_are_varied_and_shrink_to_what_is_simple() -> None:
    assert least(contexts()) == least(contexts("on_before_init"))
    simple = least(contexts("on_after_init"))
    assert (1, ("n00",)) == (simple.llm_config.tensor_parallel_size, simple.placement.hosts)
    assert ({}, {}, 1) == (dict(simple.custom_data), dict(simple.extra_init_kwargs), simple.attempt)
    several = least(contexts("on_after_init"), lambda ctx: len(ctx.placement.hosts) > 1)
    assert 2 == len(several.placement.hosts)
    assert least(contexts(), lambda ctx: "somebody.else" in ctx.custom_data)
    only_tokenizer = NodeModelDownloadable.TOKENIZER_ONLY
    assert least(contexts(), lambda ctx: ctx.worker_node_download_model is only_tokenizer)


def test_a_config_of_the_authors_own() -> None:
    mine = LLMConfig(model_id="mine", engine_kwargs={"tensor_parallel_size": 4})

    @FEW
    @given(contexts("on_before_download", config=st.just(mine)))
    def check(ctx: CallbackCtx) -> None:
        assert ctx.llm_config is mine
        assert 4 == len(ctx.plan.bundles)

    check()
    with pytest.raises(ValueError, match="'on_ready' is no hook; use one of on_before_init"):
        least(contexts("on_ready"))


@FEW
@given(clusters(most=3), requests())
def test_a_plan_for_a_drawn_request_obeys_the_rules(
    cluster: ClusterSnapshot, request: PlacementRequest
) -> None:
    found = plan(request, cluster)
    assert len(cluster.hosts) <= 3
    if isinstance(found, PlacementPlan):
        assert () == tuple(violations(request, found, cluster))


def test_clusters_and_requests_shrink_to_what_is_simple() -> None:
    dead = least(clusters(), lambda cluster: len(cluster.alive) < len(cluster.hosts))
    assert 1 == len(dead.hosts) - len(dead.alive)
    assert 0 == len(least(clusters(), lambda cluster: not cluster.hosts).hosts)
    assert PlacementRequest.of(1, 1) == least(requests())
    span = least(requests(), lambda request: request.span_tp)
    assert (2, 1) == (span.tensor_parallel_size, span.pipeline_parallel_size)
    with pytest.raises(NoSuchExample):
        least(requests(span=False), lambda request: request.span_tp)


@FEW
@given(worlds(), scenarios())
def test_worlds_are_scenarios_in_which_nothing_goes_wrong(world: Scenario, any_: Scenario) -> None:
    assert ((), (), ()) == (world.faults, world.acts, world.others)
    for scenario in (world, any_):
        assert scenario == Scenario.from_json(scenario.to_json())


def test_scenarios_shrink_to_what_is_needed() -> None:
    killed = least(scenarios(), lambda found: any(act.what == "kill" for act in found.acts))
    assert (1, 0, 0) == (len(killed.acts), len(killed.faults), len(killed.others))
    both = least(scenarios(), lambda found: found.faults and found.acts)
    assert (1, 1) == (len(both.faults), len(both.acts))


@pytest.mark.parametrize(
    "kind", [CallbackCtx, LLMConfig, PlacementRequest, ClusterSnapshot, Scenario]
)
def test_types_have_their_strategies(kind: type) -> None:
    @settings(max_examples=10, deadline=None)
    @given(st.from_type(kind))
    def check(found: Any) -> None:
        assert isinstance(found, kind)

    check()


LATE = """
import sys
from nodeinit.testing.hypothesis_entry import register
{before}
import hypothesis
register()
register()
from hypothesis import given, settings, strategies as st
ours = [m for m in sys.modules if m.startswith("nodeinit.")]
{after}
assert "nodeinit.testing.strategies" not in sys.modules
@settings(max_examples=3)
@given(st.from_type(CallbackCtx))
def check(ctx):
    assert ctx.llm_config.model_id
check()
assert "nodeinit.testing.strategies" in sys.modules
import nodeinit.context
assert type(nodeinit.context.__loader__).__name__ == "SourceFileLoader"
print(sorted(ours), [m for m in ("ray", "pytest") if m in sys.modules])
"""
NOTHING = "['nodeinit.testing', 'nodeinit.testing.hypothesis_entry'] []"


@pytest.mark.parametrize("first", ["hypothesis", "nodeinit"])
def test_types_are_registered_when_they_are_imported(first: str) -> None:
    here = "from nodeinit import CallbackCtx"
    before, after = ("", here) if first == "hypothesis" else (here, "")
    program = [sys.executable, "-c", LATE.format(before=before, after=after)]
    ran = subprocess.run(program, capture_output=True, text=True, check=False)

    assert 0 == ran.returncode, ran.stderr
    assert first == "nodeinit" or NOTHING == ran.stdout.strip()
