"""From a context to a request, from a request to a plan, and when a plan is no good any more."""

from __future__ import annotations

from nodeinit.context import CallbackCtx, NodeModelDownloadable
from nodeinit.errors import InfeasibleError, NoCapacityError, PermanentError
from nodeinit.fsm.run import Run
from nodeinit.node.notes import cluster_note
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import ClusterSnapshot, Placement, PlacementPlan


def request_of(ctx: CallbackCtx) -> PlacementRequest:
    """What the workers need: what a hook asked for, else what the config says."""
    if isinstance(ctx.placement_group, PlacementRequest):
        return ctx.placement_group
    return PlacementRequest.from_config(ctx.llm_config)


def is_adopted(ctx: CallbackCtx) -> bool:
    """Whether a hook brought a group of its own, which we verify and never create or remove."""
    return ctx.placement_group is not None and not isinstance(ctx.placement_group, PlacementRequest)


def mode_on(ctx: CallbackCtx, node_id: str, hosts: tuple[str, ...]) -> NodeModelDownloadable:
    """What a host needs: the first host of a plan is the engine's, the others are workers'."""
    if node_id == hosts[0]:
        return ctx.local_node_download_model
    return ctx.worker_node_download_model


async def make_plan(ctx: CallbackCtx, run: Run) -> PlacementPlan:
    """A plan against the cluster as it is now.

    Raises `InfeasibleError` when the request can never fit, `NoCapacityError` when it only does not
    fit now, `PermanentError` when a group that a hook brought breaks a rule.
    """
    if is_adopted(ctx):
        placement = await adopt(ctx, run)
        bundles = request_of(ctx).bundles
        return PlacementPlan(
            bundles[: len(placement.bundles)], placement.node_ids, placement.strategy
        )
    if not ctx.run_init_node:
        raise PermanentError(
            "run_init_node=False means that a hook brings the placement group, but "
            "ctx.placement_group is not a group; set it in on_before_init"
        )
    snapshot: ClusterSnapshot = await run.cluster.snapshot()
    # Off the loop: explaining why a thousand workers do not fit is a moment's work.
    found: PlacementPlan | Infeasible = await run.call(plan, request_of(ctx), snapshot)
    run.note(*cluster_note(snapshot, found.hosts if isinstance(found, PlacementPlan) else ()))
    if isinstance(found, Infeasible):
        raise (NoCapacityError if found.temporary else InfeasibleError)(str(found))
    return found


async def adopt(ctx: CallbackCtx, run: Run) -> Placement:
    """Where the group that a hook brought stands, once it is known to obey every rule."""
    placement: Placement = await run.cluster.observe(ctx.placement_group)
    broken = violations(request_of(ctx), placement, await run.cluster.snapshot())
    if broken:
        listed = "; ".join(str(violation) for violation in broken)
        raise PermanentError(
            f"the placement group {placement.name or placement.group_id}: {listed}"
        )
    return placement


async def still_good(ctx: CallbackCtx, run: Run) -> bool:
    """Whether the plan still answers the request on the cluster as it is now."""
    assert ctx.plan is not None
    if is_adopted(ctx):
        placement = await run.cluster.observe(ctx.placement_group)
        return bool(placement.node_ids == ctx.plan.node_ids)
    snapshot: ClusterSnapshot = await run.cluster.snapshot()
    # Off the loop: on thousands of hosts this takes a while.
    broken = await run.executor.call(violations, request_of(ctx), ctx.plan, snapshot)
    return not broken
