"""The laws of the machine: what must hold after every step, in `ready`, and at the end.

They judge what the cluster really holds, not what the machine says of itself.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import attrs

from nodeinit.context import FIELDS, CallbackCtx
from nodeinit.fsm.events import FINALS, Event, Frame
from nodeinit.fsm.snapshot import Step
from nodeinit.node.planning import mode_on, request_of
from nodeinit.placement.rules import violations_of_placement
from nodeinit.placement.topology import Pin

if TYPE_CHECKING:
    from nodeinit.testing.trial import Trial

# Pure, and asked the same by thousands of runs.
_violations = functools.lru_cache(maxsize=4096)(violations_of_placement)

ENGINE_FIELDS = [n for n, f in FIELDS.items() if f.metadata["writable_in"] == ()]


def judge_step(trial: Trial, step: Step) -> None:
    """The laws of every step."""
    say = trial.say
    before, after, occurred = step.before, step.after, step.occurred
    if (before.state != after.state == Frame.BACKOFF) and after.ctx is not before.ctx:
        say("M4", "a retry does not begin with the context that the phase began with")
    if occurred.event is Event.ACQUIRING and step.accepted:
        order = trial.driver.core.definition.order
        for held in before.held:
            if order(held.phase) >= order(before.state) and held.attempt != occurred.attempt:
                still = f"{held.name} of an earlier try is still held while {before.state} acquires"
                say("R2-leak", still)
    _judge_cancel(trial, step)
    if after.state == Frame.READY and before.state != Frame.READY:
        trial.was_ready = True
        _judge_ready(trial, step)
    if after.state in FINALS and before.state not in FINALS:
        if after.held:
            say("R2-leak", f"{after.state} holds {after.held}")
        if before.state != Frame.RELEASING:
            say("M1", f"{after.state} was entered from {before.state}")
    if before.state in FINALS and step.accepted:
        say("M1", f"{before.state} is final but accepted {occurred.event}")
    if occurred.event is Event.DROPPED and before.state == Frame.RELEASING and step.accepted:
        # What an undo gives back is what was held; an activity that comes to its end says so itself.
        undone = any(held is occurred.held for held in before.held)
        if undone and before.held[-1] is not occurred.held:
            say("R2-leak", "something was given back before what was acquired after it")
    _judge_hooks(trial, step)
    _judge_patience(trial, step)


def _judge_cancel(trial: Trial, step: Step) -> None:
    if step.occurred.event is not Event.CANCEL or trial.cancelled_at is None:
        return
    if not trial.cancel_heard:
        trial.cancel_heard = True
        late = step.at - trial.cancelled_at - trial.slack
        if late > 2 and trial.cancelled_in not in (Frame.RELEASING, *FINALS):
            trial.say("M3", f"a cancel was heard only after {late:.0f} s")


def _judge_hooks(trial: Trial, step: Step) -> None:
    """What hooks did on the edge: the table's hooks, in its order, and nothing of the engine's."""
    edge, occurred = step.edge, step.occurred
    if edge is None or not step.accepted:
        return
    if step.hooks and not any(run.error for run in step.hooks):
        place = {hook: i for i, hook in enumerate(edge.hooks)}
        fired = [place.get(run.hook, -1) for run in step.hooks]
        if fired != sorted(fired) or -1 in fired:
            trial.say(
                "M2", f"the hooks of {occurred.event} fired as {[r.hook for r in step.hooks]}"
            )
    if not step.hooks:
        return
    base = base_of(step)
    for name in ENGINE_FIELDS:
        if getattr(base, name) != getattr(step.after.ctx, name):
            trial.say("H7-readonly", f"a hook changed {name}, which only the engine may")


def base_of(step: Step) -> CallbackCtx:
    """The context that the hooks of a step's edge began with."""
    base: CallbackCtx = step.occurred.ctx if step.occurred.ctx is not None else step.before.ctx
    if step.edge is not None and step.edge.assign:
        base = step.edge.assign(attrs.evolve(step.after, ctx=base), step.occurred).ctx
    return base


def _judge_patience(trial: Trial, step: Step) -> None:
    if step.after.tries is step.before.tries and step.after.replans == step.before.replans:
        return
    policy = trial.driver.core.policy
    for phase, tries in step.after.tries:
        if tries > policy.of(phase).attempts:
            trial.say("M3", f"{phase} was tried {tries} times")
    if step.after.replans > policy.replans:
        trial.say("M3", f"{step.after.replans} new plans")


def _judge_ready(trial: Trial, step: Step) -> None:
    ctx, cluster = step.after.ctx, trial.cluster
    judged = _observed_at(trial, step) - 0.1 - trial.slack
    died_since = {node_id for at, node_id in cluster.deaths if at >= judged}
    if ctx.placement is None:
        trial.say("R1-ready", "ready without a placement")
        return
    group = next((g for g in cluster.groups.values() if g.id == ctx.placement.group_id), None)
    if group is None:
        trial.say("R1-ready", "ready, but Ray knows no such group")
    elif group.node_ids != ctx.placement.node_ids and not died_since & set(ctx.placement.hosts):
        trial.say("R1-ready", "ready, but Ray put the bundles elsewhere")
    if ctx.plan.pin is Pin.NODE and ctx.plan.node_ids != ctx.placement.node_ids:
        trial.say("R1-ready", "ready, but not as planned")
    for broken in _violations(request_of(ctx), ctx.placement, ctx.observed, ctx.plan):
        trial.say("R1-ready", f"ready, but {broken}")
    request = request_of(ctx)
    tp = 1 if request.span_tp else request.tensor_parallel_size
    for start in range(0, len(ctx.placement.node_ids), tp):
        if len(set(ctx.placement.node_ids[start : start + tp])) != 1:
            trial.say("R1-ready", "ready with a split tensor-parallel group")
    for node_id in sorted(set(ctx.placement.hosts) - died_since):
        if not cluster.hosts[node_id].alive:
            trial.say("R1-ready", f"ready on the dead host {node_id}")
        mode = mode_on(ctx, node_id, ctx.placement.hosts)
        if not cluster.is_complete(node_id, ctx.model.manifest, mode):
            trial.say("R6-download", f"ready without a complete model on {node_id}")


def _observed_at(trial: Trial, ready: Step) -> float:
    """When the placement of a ready node was observed; only the watch can know what died since.

    In the standard machine that is just before the hooks of the edge into `ready`. Phases of a
    user's own may stand between.
    """
    for step in reversed([*trial.driver.steps, ready]):
        if step.before.ctx.observed is not step.after.ctx.observed:
            return step.at - sum(run.seconds for run in step.hooks)
    return ready.at


def judge_end(trial: Trial, ended: float) -> None:
    """The promise at the end: nothing left behind, a reason, in time; foreign things untouched."""
    end, cluster = trial.end, trial.cluster
    if end.state not in FINALS:
        trial.say("M3", f"it ended in {end.state}")
    if not end.cleanup_errors:
        for left in cluster.leftovers():
            check = "R2-leak" if left.startswith("group ") else "R6-download"
            trial.say(check, f"left behind: {left}")
    if end.state != Frame.RELEASED and (end.reason is None or not end.reason.message):
        trial.say("M3", "no reason was given")
    # Grace, an undo of everything with its retries, and the hooks that are told.
    bound = (370 + trial.driver.core.policy.hook_deadline) * (4 if end.cleanup_errors else 1)
    bound += trial.slack
    if trial.cancelled_at is not None and ended - trial.cancelled_at > bound:
        trial.say("M3", f"a cancel took {ended - trial.cancelled_at:.0f} s")
    if trial.was_ready:
        _judge_watch(trial)


def _judge_watch(trial: Trial) -> None:
    """A host that dies under a ready node is noticed, and its group given back before that is said."""
    bound = 10 + trial.slack
    for earlier, later in itertools.pairwise(s for s in trial.driver.steps if s.edge):
        hosts = earlier.after.ctx.placement.hosts if earlier.after.state == Frame.READY else ()
        # It is lost at once, but stays where it is until the hooks of the edge have answered.
        heard = later.at - sum(run.seconds for run in later.hooks)
        for at, node_id in trial.killed:
            if node_id in hosts and earlier.at < at < heard - bound:
                late = f"{node_id} died at {at}, but the node stayed ready until {later.at}"
                trial.say("M3", late)
