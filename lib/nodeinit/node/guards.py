"""The two facts that the promise of `ready` rests on. They are pure: they judge what was observed."""

from __future__ import annotations

from nodeinit.context import CallbackCtx
from nodeinit.fsm.definition import guard
from nodeinit.fsm.events import Occurred
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot
from nodeinit.node.planning import mode_on, request_of
from nodeinit.placement.rules import violations_of_placement


@guard
def placement_is_valid(_before: Snapshot, occurred: Occurred, _policy: Policy) -> str | None:
    """Ray's own account of the placement obeys every rule and is the plan."""
    ctx: CallbackCtx = occurred.ctx
    if ctx.placement is None or ctx.observed is None or ctx.plan is None:
        return "no placement was read back"
    broken = violations_of_placement(
        request_of(ctx), ctx.placement, ctx.observed, ctx.plan, model_on=ctx.nodes
    )
    return "; ".join(str(violation) for violation in broken) or None


@guard
def model_is_complete(_before: Snapshot, occurred: Occurred, _policy: Policy) -> str | None:
    """Every host of the placement has verified all files it needs, of the one revision."""
    ctx: CallbackCtx = occurred.ctx
    if ctx.model is None or ctx.placement is None:
        return "no model was resolved"
    hosts = ctx.placement.hosts
    for node_id in hosts:
        report = ctx.nodes.get(node_id)
        mode = mode_on(ctx, node_id, hosts)
        if report is None:
            return f"host {node_id} has not reported the model"
        if not report.verified:
            return f"host {node_id} has not verified the model"
        if report.revision != ctx.model.revision:
            return f"host {node_id} has revision {report.revision}, not {ctx.model.revision}"
        if report.path != ctx.model.path:
            return f"host {node_id} has the model at {report.path}, not at {ctx.model.path}"
        if report.mode != mode or report.files != len(ctx.model.manifest.select(mode)):
            return f"host {node_id} has {report.files} files of {report.mode}, but needs {mode}"
    return None
