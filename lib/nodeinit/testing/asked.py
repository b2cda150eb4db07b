"""Judging what a hook asks for: whether the workers have room in it, and whether it obeys the rules."""

from __future__ import annotations

from nodeinit.clusters.gcs import PENDING, QUEUED
from nodeinit.clusters.simulated import SimCluster, SimGroup
from nodeinit.context import CallbackCtx
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import PlacedBundle, Placement
from nodeinit.testing.fake_ray import FakeGroup
from nodeinit.testing.watched import Call

_SIZES = {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"}
_SHAPE = {"bundle_count", "no_bad_amounts", "amounts_cover_request"}


def judge_asked(call: Call, cluster: SimCluster) -> str | None:
    """What is wrong with the placement that a hook asks for; `None` when it asks for none.

    What a hook wants is its own business: only what can never serve the workers of the config is
    wrong. Of a group that it made through Ray, where the bundles lie is Ray's choice: the engine
    refuses a bad one, with its reason, and the hook is not to blame. What the bundles are is its own.
    """
    after = call.after
    if after is None or after.placement_group is call.before.placement_group:
        return None
    asked = after.placement_group
    if asked is None or _SIZES & set(after.extra_init_kwargs):
        return None
    if isinstance(asked, PlacementRequest):
        return _too_small(after, asked)
    return _breaks_rules(after, asked, cluster)


def _too_small(ctx: CallbackCtx, asked: PlacementRequest) -> str | None:
    workers = ctx.llm_config.tensor_parallel_size * ctx.llm_config.pipeline_parallel_size
    each = asked.world_size // asked.data_parallel_size
    if each != workers:
        return f"asks for {each} worker(s), but the config has {workers}"
    return None


def _breaks_rules(ctx: CallbackCtx, handle: object, cluster: SimCluster) -> str | None:
    """A group that a hook hands over: in its shape, and if somebody else made it, in all."""
    identity = getattr(handle, "id", None)
    found = next((g for g in cluster.groups.values() if g.id == identity), None)
    if found is None:
        return "hands over a group that is not there (is it removed?)"
    if found.state == PENDING and found.reason != QUEUED:
        return "hands over a group for which there is no room (was it waited for?)"
    if not all(at in cluster.hosts and cluster.hosts[at].alive for at in found.node_ids):
        return None  # it is being placed, or that may just have happened
    request = PlacementRequest.from_config(ctx.llm_config)
    broken = violations(request, _placement(found), cluster.now())
    if isinstance(handle, FakeGroup):
        broken = tuple(violation for violation in broken if violation.rule.name in _SHAPE)
    return "; ".join(map(str, broken)) or None


def _placement(group: SimGroup) -> Placement:
    bundles = tuple(
        PlacedBundle(index, node_id, bundle.units())
        for index, (bundle, node_id) in enumerate(zip(group.bundles, group.node_ids, strict=True))
    )
    return Placement(group.id, group.name, group.strategy, group.state, bundles, adopted=True)
