"""Where the workers of a run are, or were, or would have been, as a picture of its cluster."""

from __future__ import annotations

from typing import Any

from nodeinit.amounts import grouped
from nodeinit.config.origin import Origin
from nodeinit.diagram.plan import Planned, plan_svg
from nodeinit.diagram.plan.words import head
from nodeinit.diagram.run.record import RunRecord
from nodeinit.errors import ConfigError
from nodeinit.fsm.events import Frame
from nodeinit.placement.replicas import Replica
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.snapshot_parts import Parts
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Placement, PlacementPlan, fixed


def placement_svg(run: RunRecord, *, width: float) -> str | None:
    """The text of an SVG; `None` of a run that tells of no cluster."""
    snapshot, more = _snapshot(run)
    if snapshot is None:
        return None
    plan, heading = _plan(run)
    heading += f" · {grouped(more)} more hosts are not drawn" if more else ""
    answers: tuple[Any, ...] = ()
    if plan is not None and all(snapshot.host(node_id) for node_id in plan.hosts):
        request = _request(run.ctx)
        if request is not None:
            answers = ((Replica(run.ctx.llm_config.model_id, 1, request), plan),)
    return plan_svg(Planned(snapshot, answers), width=width, heading=heading)


def _plan(run: RunRecord) -> tuple[PlacementPlan | None, str]:
    """What was reserved, else what was planned, and a few words about it."""
    placement: Placement | None = getattr(run.ctx, "placement", None)
    plan: PlacementPlan | None = getattr(run.ctx, "plan", None)
    if placement is None:
        if plan is None:
            return None, "There is no plan"
        state = "not reserved" if run.over else "not reserved yet"
        return plan, f"Planned, {state}: {head(plan)}"
    bundles = tuple(
        Bundle({name: fixed(amount) for name, amount in bundle.resources.items()})
        for bundle in placement.bundles
    )
    real = PlacementPlan(bundles, placement.node_ids, placement.strategy)
    how = "Adopted" if placement.adopted else "Reserved"
    if run.over and not placement.adopted:
        how = "Reserved until it was given back"
    elif run.state == Frame.RELEASING:
        how = "Being given back"
    return real, f"{how}: {head(real)}"


def _request(ctx: Any) -> PlacementRequest | None:
    """What the workers asked for: what a hook did, else the config."""
    if isinstance(ctx.placement_group, PlacementRequest):
        return ctx.placement_group
    try:
        return PlacementRequest.from_config(ctx.llm_config)
    except ConfigError:
        return None


def _snapshot(run: RunRecord) -> tuple[ClusterSnapshot | None, int]:
    """The cluster without what this run holds of it, and how many hosts are left out."""
    placement: Placement | None = getattr(run.ctx, "placement", None)
    observed: ClusterSnapshot | None = getattr(run.ctx, "observed", None)
    needed = set(placement.hosts) if placement is not None else set()
    note = next((note for note in reversed(run.notes) if note.kind == "cluster"), None)
    if note is not None:
        noted = Parts(Origin("journal")).snapshot(note.data)
        if needed <= {host.node_id for host in noted.hosts}:
            return _without_ours(run, noted), int(note.data.get("more", 0))
    return (None, 0) if observed is None else (_without_ours(run, observed), 0)


def _without_ours(run: RunRecord, snapshot: ClusterSnapshot) -> ClusterSnapshot:
    placement: Placement | None = getattr(run.ctx, "placement", None)
    for group in snapshot.groups:
        mine = placement is not None and group.group_id == placement.group_id
        if mine or (run.name and group.name.startswith(f"{run.name}-")):
            snapshot = snapshot.without(group)
    return snapshot
