"""Contexts as hooks get them, made with the real planner: behind `strategies.contexts`."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from nodeinit.clusters.simulated import SIM_MANIFEST, SimCluster
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, ModelFiles, NodeModelDownloadable, NodeReport
from nodeinit.download.manifest import total_size
from nodeinit.download.store import published_path
from nodeinit.node.planning import mode_on, request_of
from nodeinit.placement.planner import plan
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan
from nodeinit.testing.asked import placement_of
from nodeinit.testing.by_hand import host

STAGES = {
    "on_before_init": 0,
    "on_before_download": 1,
    "on_node_download": 1,
    "on_before_placement": 2,
    "on_after_init": 3,
}
"""How far a node is when a hook fires; it may fail (`on_init_failed`) at any of them."""

MOST = 16
"""So many hosts are room enough for any config that is drawn."""

_values = st.one_of(
    st.booleans(),
    st.integers(-10, 10),
    st.text("abc", max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
)
_data = st.dictionaries(st.sampled_from(["mine", "somebody.else", "seen"]), _values, max_size=2)
_modes = st.sampled_from(list(NodeModelDownloadable))


@st.composite
def contexts_of(
    draw: st.DrawFn, hook: str | None, config: st.SearchStrategy[LLMConfig]
) -> CallbackCtx:
    """A context as a hook gets it; `None` is any hook."""
    if hook is None:
        hook = draw(st.sampled_from([*STAGES, "on_init_failed"]))
    if hook not in STAGES and hook != "on_init_failed":
        raise ValueError(f"{hook!r} is no hook; use one of {', '.join(STAGES)}, on_init_failed")
    stage = STAGES[hook] if hook in STAGES else draw(st.sampled_from(sorted({*STAGES.values()})))
    ctx = CallbackCtx(
        llm_config=draw(config),
        local_node_download_model=draw(_modes),
        worker_node_download_model=draw(_modes),
        custom_data=draw(_data),
        extra_init_kwargs=draw(st.sampled_from([{}, {"seed": 7}])),
        runtime_env=draw(st.sampled_from([None, {"env_vars": {"A": "1"}}])),
    )
    if stage == 0:
        return ctx
    ctx, cluster = _planned(ctx, draw(st.integers(1, 4)))
    if draw(st.sampled_from([False, False, True])):
        ctx = ctx.evolve(attempt=2)
    if stage > 1:
        ctx = _downloaded(ctx)
    return _placed(ctx, cluster) if stage > 2 else ctx


def _planned(ctx: CallbackCtx, size: int) -> tuple[CallbackCtx, SimCluster]:
    """With a plan on so many hosts, or more if there has to be more room; and the model."""
    kind = ctx.llm_config.accelerator_type
    for hosts in range(size, MOST + 1):
        cluster = SimCluster([host(f"n{i:02}", 8, cpu=64, kind=kind) for i in range(hosts)])
        found = plan(request_of(ctx), cluster.now())
        if isinstance(found, PlacementPlan):
            break
    else:
        raise ValueError(f"no {MOST} hosts have room for {ctx.llm_config}: {found}")
    config = ctx.llm_config
    source = config.model_source
    manifest = attrs.evolve(SIM_MANIFEST, model_id=config.model_id, source=source)
    path = str(published_path(config.nodeinit.store, manifest))
    return ctx.evolve(plan=found, model=ModelFiles(path, manifest)), cluster


def _downloaded(ctx: CallbackCtx) -> CallbackCtx:
    """With a report of every host of the plan."""
    assert ctx.plan is not None and ctx.model is not None
    return ctx.evolve(nodes={n: _report(ctx, ctx.model, n) for n in ctx.plan.hosts})


def _report(ctx: CallbackCtx, model: ModelFiles, node_id: str) -> NodeReport:
    mode = mode_on(ctx, node_id, ctx.plan.hosts)  # type: ignore[union-attr]
    files = model.manifest.select(mode)
    size = total_size(files)
    return NodeReport(node_id, model.path, mode, model.revision, len(files), size, size, True)


def _placed(ctx: CallbackCtx, cluster: SimCluster) -> CallbackCtx:
    """With its bundles where the plan wants them."""
    found: Any = ctx.plan
    made = cluster.make_group(found.bundles, found.node_ids, name="node-1", strategy=found.strategy)
    now = cluster.now()
    here = ClusterSnapshot(tuple(h for h in now.hosts if h.node_id in made.node_ids), now.groups)
    return ctx.evolve(placement=placement_of(made, adopted=False), observed=here)
