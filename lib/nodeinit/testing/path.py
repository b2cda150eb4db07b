"""The way that a run took through its machine: what happened, in the machine's words, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.clusters.simulated import SimGroup
from nodeinit.context import FIELDS, CallbackCtx, ModelFiles
from nodeinit.fsm.events import Event
from nodeinit.fsm.snapshot import Step
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Placement, PlacementPlan
from nodeinit.testing.fake_ray import FakeGroup

if TYPE_CHECKING:
    from nodeinit.testing.trace import Trace
    from nodeinit.testing.watched import Call

NOTHING = "–"
_MAPPINGS = ("custom_data", "extra_init_kwargs")
_SHORT = 28


@attrs.frozen
class Change:
    """A field of the context (or `custom_data[key]`) that is another one now, in words."""

    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.field}: {self.old} -> {self.new}"


@attrs.frozen
class Taken:
    """One step of a run: when (virtual seconds), the event and why, from where to where.

    `hooks` fired on it, the last of them failed where `failed`; `meanwhile` says which calls of hooks
    came to an end during `source` otherwise. `edge` is whether an edge was taken: where a hook fails,
    none is.
    """

    at: float
    event: str
    source: str
    target: str
    why: str = ""
    hooks: tuple[str, ...] = ()
    failed: bool = False
    meanwhile: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    edge: bool = True

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        parts = [f"{self.at:g} s  {self.event}{why}: {self.source} -> {self.target}"]
        if self.hooks:
            parts.append(f"hooks {', '.join(self.hooks)}{' ✗' if self.failed else ''}")
        parts += [*self.meanwhile, *map(str, self.changes)]
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The step for programs."""
        return {
            "at": self.at,
            "event": self.event,
            "from": self.source,
            "to": self.target,
            "why": self.why,
            "hooks": list(self.hooks),
            "changes": {change.field: [change.old, change.new] for change in self.changes},
        }


def path_of(trace: Trace, names: Mapping[str, str]) -> tuple[Taken, ...]:
    """The steps of a run that are worth telling. `names` stand for paths that differ by machine."""
    told = [s for s in trace.driver.steps if s.before.state != s.after.state or s.hooks]
    calls = list(trace.calls)
    fired = [_own_hooks(step) for step in told]
    for hook in (hook for hooks in fired for hook in hooks):
        call = next((c for c in calls if c.hook == hook), None)
        if call is not None:
            calls.remove(call)
    return tuple(
        _taken(step, hooks, _meanwhile(calls, step.at), names)
        for step, hooks in zip(told, fired, strict=True)
    )


def _own_hooks(step: Step) -> list[str]:
    return [run.hook for run in step.hooks if run.callback != "another"]


def _taken(step: Step, hooks: Sequence[str], meanwhile: tuple[str, ...], names: Any) -> Taken:
    occurred = step.occurred
    errored = occurred.event in (Event.ERRORED, Event.ELAPSED)
    why = occurred.reason.code if errored and occurred.reason is not None else ""
    return Taken(
        at=step.at,
        event=str(occurred.event),
        source=step.before.state,
        target=step.after.state,
        why=why,
        hooks=tuple(hooks),
        failed=any(run.error for run in step.hooks if run.callback != "another"),
        meanwhile=meanwhile,
        changes=_changes(step.before.ctx, step.after.ctx, names),
        edge=step.edge is not None and step.accepted,
    )


def _meanwhile(calls: list[Call], until: float) -> tuple[str, ...]:
    """Calls that no edge tells of and that ended by now; they are taken out of `calls`."""
    ended = [c for c in calls if c.ended is not None and c.ended <= until]
    for call in ended:
        calls.remove(call)
    return tuple(dict.fromkeys(map(_went, ended)))


def _went(call: Call) -> str:
    on = f" on {call.node_id}" if call.node_id else ""
    if call.cancelled_at is not None:
        how = " was cancelled"
    else:
        how = " failed" if call.error is not None else ""
    return f"{call.hook}{on}{how}"


# -- what changed ----------------------------------------------------------------------------------


def _changes(
    before: CallbackCtx, after: CallbackCtx, names: Mapping[str, str]
) -> tuple[Change, ...]:
    found: list[Change] = []
    for name in FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old is new or old == new or name in ("observed", "llm_config"):
            continue
        if name in _MAPPINGS:
            keys = [key for key in {**old, **new} if old.get(key, found) != new.get(key, found)]
            found += [
                Change(f"{name}[{key}]", _word(old, key, names), _word(new, key, names))
                for key in sorted(keys)
            ]
        else:
            found.append(Change(name, shown(old, names), shown(new, names)))
    return tuple(found)


def _word(mapping: Mapping[str, Any], key: str, names: Mapping[str, str]) -> str:
    return shown(mapping[key], names) if key in mapping else NOTHING


def shown(value: Any, names: Mapping[str, str]) -> str:
    """A value in a few words, the same on every machine."""
    if value is None:
        return NOTHING
    match value:
        case PlacementPlan() | Placement():
            text = f"on {','.join(value.node_ids)}"
        case ModelFiles():
            text = f"{len(value.manifest.files)} files"
        case PlacementRequest():
            text = f"{len(value.bundles)} bundles, {value.strategy}"
        case SimGroup() | FakeGroup():
            text = "a group of Ray's"
        case Mapping():
            text = "{" + ", ".join(sorted(map(str, value))) + "}"
        case frozenset():
            text = "{" + ", ".join(sorted(map(repr, value))) + "}"
        case str():
            text = str(value)
        case _:
            text = repr(value)
    text = " ".join(tidied(text, names).split())
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def tidied(text: str, names: Mapping[str, str]) -> str:
    """A text without what differs from machine to machine and from run to run."""
    for path, name in names.items():
        text = text.replace(path, name)
    return re.sub(r"0x[0-9a-f]{6,}", "0x…", text)
