"""What a run came to, as a value: for the summary, for `--json` and for the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.callbacks import ON_NODE_DOWNLOAD
from nodeinit.cli.errors import ExitCode, exit_code_of
from nodeinit.fsm.events import Event, Frame, Held
from nodeinit.fsm.explain import phase_seconds

if TYPE_CHECKING:
    from nodeinit.context import CallbackCtx
    from nodeinit.fsm.snapshot import Snapshot, Step
    from nodeinit.node.initializer import NodeInitializer


@attrs.frozen
class HookCall:
    """A hook that fired. Those on hosts have a `node_id`, and their time is not known here."""

    hook: str
    callback: str
    seconds: float | None = None
    node_id: str | None = None
    error: str | None = None


@attrs.frozen
class Outcome:
    """What a run came to.

    `state` is `ready` for a node that was ready and has been released since, else the final state;
    `None` when nothing was started. `took` is how long it took to come there. `phases` are seconds
    by phase, `waiting` those between tries, `visits` how often each phase was entered.
    `given_back` is what the release gave back, in its order.
    """

    state: str | None
    exit_code: ExitCode
    reason: str | None = None
    took: float = 0.0
    phases: Mapping[str, float] = attrs.field(factory=dict)
    waiting: float = 0.0
    visits: Mapping[str, int] = attrs.field(factory=dict)
    ctx: CallbackCtx | None = None
    hooks: tuple[HookCall, ...] = ()
    given_back: tuple[Held, ...] = ()
    cleanup_errors: tuple[str, ...] = ()
    journal: str | None = None

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        """The outcome when nothing could be started."""
        code = exit_code_of(error)
        return cls(None if code is ExitCode.USAGE else str(Frame.FAILED), code, str(error))

    @classmethod
    def cancelled_early(cls) -> Outcome:
        """The outcome of a cancel that came before the node was begun."""
        why = "cancelled before the node was begun"
        return cls(str(Frame.CANCELLED), ExitCode.CANCELLED, why)

    @classmethod
    def of(cls, node: NodeInitializer) -> Outcome:
        """The outcome of a node that has ended, or is ready."""
        end = node.snapshot
        arrived = end.state in (Frame.READY, Frame.RELEASED)  # only a ready node is released
        reason = None if arrived or end.reason is None else str(end.reason)
        if end.cleanup_errors:
            left = "; ".join(end.cleanup_errors)
            reason = f"{reason}; {left}" if reason else left
        times = phase_seconds(node.steps)
        names = [phase.state for phase in node.machine.phases]
        return cls(
            state=str(Frame.READY) if arrived else end.state,
            exit_code=_exit_code(end, arrived),
            reason=reason,
            took=_took(node.steps, arrived),
            phases={name: times[name] for name in names if name in times},
            waiting=times.get(str(Frame.BACKOFF), 0.0),
            visits=dict(end.visits),
            ctx=node.ctx,
            hooks=(*_hooks(node.steps), *_host_hooks(node)),
            given_back=_given_back(node.steps),
            cleanup_errors=end.cleanup_errors,
            journal=node.journal,
        )

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON, with `None` for what there is not."""
        return {
            "state": self.state,
            "reason": self.reason,
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "model": self._model(),
            "placement": self._placement(),
            "hooks": [attrs.asdict(call) for call in self.hooks],
            "journal": self.journal,
        }

    def _model(self) -> dict[str, Any] | None:
        """The model, once some host has verified it."""
        if self.ctx is None or self.ctx.model is None or not self.ctx.nodes:
            return None
        manifest = self.ctx.model.manifest
        return {
            "path": self.ctx.model.path,
            "files": len(manifest.files),
            "bytes": manifest.size,
        }

    def _placement(self) -> dict[str, Any] | None:
        """Where the bundles are, or were until the release; nothing for a node that failed."""
        if self.state != Frame.READY or self.ctx is None or self.ctx.placement is None:
            return None
        placement = self.ctx.placement
        return {
            "strategy": placement.strategy,
            "bundles": [
                {"index": b.index, "node_id": b.node_id, "resources": dict(b.resources)}
                for b in placement.bundles
            ],
        }


def _exit_code(end: Snapshot, arrived: bool) -> ExitCode:
    if end.state == Frame.CANCELLED:
        return ExitCode.CANCELLED
    if arrived and not end.cleanup_errors:
        return ExitCode.READY
    if not arrived and end.reason is not None and end.reason.code == "infeasible":
        return ExitCode.INFEASIBLE
    return ExitCode.FAILED


def _took(steps: tuple[Step, ...], arrived: bool) -> float:
    """Seconds from the start to `ready`, or to the end of a node that did not stay so."""
    for step in reversed(steps):
        if not arrived or Frame.READY == step.after.state != step.before.state:
            return step.at
    return 0.0


def _hooks(steps: tuple[Step, ...]) -> list[HookCall]:
    return [
        HookCall(run.hook, run.callback, round(run.seconds, 6), error=run.error)
        for step in steps
        for run in step.hooks
    ]


def _host_hooks(node: NodeInitializer) -> list[HookCall]:
    """A host reports after its hooks have run, so they did on every host that has reported."""
    return [
        HookCall(ON_NODE_DOWNLOAD, callback.name, node_id=node_id)
        for node_id in sorted(node.ctx.nodes)
        for callback in node.callbacks
        if ON_NODE_DOWNLOAD in callback.hooks
    ]


def _given_back(steps: tuple[Step, ...]) -> tuple[Held, ...]:
    return tuple(
        step.occurred.held
        for step in steps
        if step.occurred.event is Event.DROPPED
        and step.accepted
        and step.occurred.held is not None
        and step.before.state == Frame.RELEASING
    )
