"""Where a run can be interfered with, and where one place is as good as another.

A run is looked at before every turn of the event loop: each is a point at which a cancel, or the
death of a host, may come. Two points are alike when the machine, the cluster, the context and the
callback's own instances are the same there, and as many turns have passed since: what comes after one
of them can come after the other, so it need be tried after one only. Times are left out: how long a
deadline has still to run tells no two points apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.context import CallbackCtx
from nodeinit.fsm.events import FINALS, Frame
from nodeinit.placement.request import PlacementRequest

if TYPE_CHECKING:
    from nodeinit.testing.trace import Trace

_PLAIN = (str, int, float, bool, bytes, type(None))
_DEPTH = 6


@attrs.frozen
class Point:
    """A moment of a run: virtual seconds, the turn of the loop in it, and what it is like.

    `op` is the operation of the cluster that is entered there, and `call` its number; `""` for a
    turn of the loop. `retries` counts the retries and new plans up to here.
    """

    at: float
    rounds: int
    like: Hashable
    state: str
    op: str = ""
    call: int = 0


class Recorder:
    """Collects the points of one run that come after everything that its scenario makes happen.

    After an event the machine must have moved on once before the next: at most one thing goes wrong
    in one transition. `retries` bounds how often a phase is tried again on the way to a point.
    """

    def __init__(self, retries: int) -> None:
        self.points: list[Point] = []
        self.opaque: set[str] = set()
        """What of the callback cannot be compared: then points that are not alike may seem so."""
        self._retries = retries
        self._trace: Trace | None = None
        self._seen: tuple[int, ...] = ()
        self._like: Hashable = None
        self._since = 0
        self._at = -1.0
        self._turn = 0
        self._first = True
        self._moved: int | None = None

    def watch(self, trace: Trace) -> None:
        """Begin with a run."""
        self._trace = trace
        self._first = not (trace.scenario.acts or trace.scenario.faults)
        trace.cluster.on_call = self._called

    def turn(self, now: float) -> None:
        """A turn of the loop is about to begin."""
        self._turn = self._turn + 1 if now == self._at else 0
        self._at = now
        like = self._here()
        if like is None:
            return
        self._since += 1
        if self._since == 1 or self._first or self._in_hook:
            self.points.append(Point(now, self._turn, (like, self._since), self._state))

    def _called(self, op: str, call: int) -> None:
        like = self._here()
        if like is not None:
            self.points.append(Point(self._at, self._turn, (like, op), self._state, op, call))

    @property
    def _in_hook(self) -> bool:
        assert self._trace is not None
        return any(call.ended is None for call in self._trace.log.calls)

    @property
    def _state(self) -> str:
        assert self._trace is not None
        return str(self._trace.driver.snapshot.state)

    def _here(self) -> Hashable | None:
        """What this point is like; `None` where nothing may happen (yet, or any more)."""
        trace = self._trace
        if trace is None:
            return None
        snapshot = trace.driver.snapshot
        if snapshot.state in FINALS or not self._may_go_on(trace):
            return None
        tried = snapshot.replans + sum(max(0, tries - 1) for _, tries in snapshot.tries)
        if tried > self._retries:
            return None
        seen = _signature(trace)
        if seen != self._seen:
            self._seen, self._since = seen, 0
            self._like = hash(like(trace, self.opaque))
        return self._like

    def _may_go_on(self, trace: Trace) -> bool:
        scenario, calls = trace.scenario, trace.cluster.calls
        if trace.performed < len(scenario.acts):
            return False
        if any(calls.get(fault.op, 0) <= fault.call for fault in scenario.faults):
            return False
        moved = len(trace.driver.steps)
        if self._moved is None:
            self._moved = moved if scenario.acts or scenario.faults else -1
        return moved > self._moved


def _signature(trace: Trace) -> tuple[int, ...]:
    """Cheap: differs when anything that counts may have changed."""
    cluster, log = trace.cluster, trace.log
    return (
        len(trace.driver.steps),
        len(log.calls),
        sum(call.ended is None for call in log.calls),
        sum(cluster.calls.values()),
        len(cluster.groups),
        len(cluster.fetching),
        len(cluster.staging),
        sum(host.alive for host in cluster.hosts.values()),
        cluster.moved,
    )


def like(trace: Trace, opaque: set[str]) -> Hashable:
    """Everything that decides how a run goes on, but for the time."""
    snapshot, cluster = trace.driver.snapshot, trace.cluster
    # Whoever releases does not try again: how often it was tried is of no account any more.
    releasing = snapshot.state == Frame.RELEASING
    return (
        snapshot.state,
        None if releasing else (snapshot.retry, snapshot.tries, snapshot.replans),
        snapshot.outcome,
        tuple((held.kind, held.phase, held.confirmed) for held in snapshot.held),
        bool(snapshot.cleanup_errors),
        trace.cancelled_at is not None,
        _context(snapshot.ctx),
        tuple((h.alive, len(h.published)) for h in cluster.hosts.values()),
        tuple(sorted((g.ours, g.state, g.reason, g.node_ids) for g in cluster.groups.values())),
        tuple(sorted(g.node_ids for g in cluster.gcs.unseen)),
        tuple(sorted(cluster.fetching.values())),
        tuple(sorted(cluster.staging.values())),
        tuple((call.hook, call.node_id) for call in trace.log.calls if call.ended is None),
        tuple(plain(vars_of(instance), opaque) for instance in trace.log.instances()),
    )


def _context(ctx: CallbackCtx) -> Hashable:
    """A context without what differs from run to run although it means the same."""
    plan, placement, group = ctx.plan, ctx.placement, ctx.placement_group
    return (
        ctx.attempt,
        ctx.run_init_node,
        ctx.local_node_download_model,
        ctx.worker_node_download_model,
        ctx.extra_init_kwargs,
        ctx.custom_data,
        ctx.runtime_env,
        plan and (plan.node_ids, plan.strategy),
        placement and placement.node_ids,
        tuple(sorted((n, str(report.mode)) for n, report in ctx.nodes.items())),
        group if isinstance(group, PlacementRequest) else group is not None,
    )


def vars_of(instance: Any) -> dict[str, Any]:
    """The attributes of an instance, with or without `__slots__`."""
    found = dict(getattr(instance, "__dict__", {}))
    for kind in type(instance).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(instance, name) and not name.startswith("__"):
                found[name] = getattr(instance, name)
    return found


def plain(value: Any, opaque: set[str], path: str = "", depth: int = _DEPTH) -> Hashable:
    """A value as something that can be compared with that of another run.

    What cannot be looked into counts as its type alone; its path is added to `opaque`.
    """
    if isinstance(value, _PLAIN):
        return value
    if depth:
        inside = _inside(value)
        if inside is not None:
            return (
                type(value).__name__,
                tuple(plain(v, opaque, f"{path}.{k}", depth - 1) for k, v in inside),
            )
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    if callable(getattr(value, "done", None)):
        return (type(value).__name__, bool(value.done()))
    opaque.add(path.lstrip(".").split(".")[0] or type(value).__name__)
    return type(value).__name__


def _inside(value: Any) -> Iterator[tuple[str, Any]] | None:
    """The parts of a value, each with its name; `None` for what has none that can be seen."""
    if isinstance(value, dict) or (hasattr(value, "items") and hasattr(value, "keys")):
        return iter([(repr(key), part) for key, part in value.items()])
    if isinstance(value, list | tuple):
        return iter([(str(i), part) for i, part in enumerate(value)])
    if isinstance(value, set | frozenset):
        return iter([(text, text) for text in sorted(map(repr, value))])
    if attrs.has(type(value)):
        return iter([(f.name, getattr(value, f.name)) for f in attrs.fields(type(value))])
    return None
