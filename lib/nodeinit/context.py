"""The frozen context that flows through a machine: hooks take one and answer with a new one.

Who may change which field, and until when, stands beside each field as metadata and is enforced for
every hook's answer.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from nodeinit.errors import FrozenContextError, nearest
from nodeinit.frozen import EMPTY, FrozenMap, freeze_map
from nodeinit.redact import redacted

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig
    from nodeinit.download.manifest import Manifest
    from nodeinit.placement.request import PlacementRequest
    from nodeinit.placement.topology import ClusterSnapshot, Placement, PlacementPlan


class NodeModelDownloadable(enum.StrEnum):
    """Which of the model's files a host needs. The names are those of Ray Serve LLM."""

    MODEL_AND_TOKENIZER = "MODEL_AND_TOKENIZER"
    TOKENIZER_ONLY = "TOKENIZER_ONLY"
    EXCLUDE_SAFETENSORS = "EXCLUDE_SAFETENSORS"
    NONE = "NONE"

    @classmethod
    def coerce(cls, value: NodeModelDownloadable | str) -> NodeModelDownloadable:
        """The member for a member or its name, in any case; `ValueError` with the nearest name."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a download mode; use one of {', '.join(cls)}")
        try:
            return cls(value.upper())
        except ValueError:
            hint = nearest(value.upper(), list(cls))
            meant = f"; did you mean {str(hint)!r}?" if hint else f"; use one of {', '.join(cls)}"
            raise ValueError(f"{value!r} is not a download mode{meant}") from None


@attrs.frozen
class ModelFiles:
    """The model of a node: what must be on the hosts, and the path where it is or will be.

    `path` is the same on every host: the directory to hand to the engine.
    """

    path: str
    manifest: Manifest

    @property
    def revision(self) -> str:
        """The revision of the files, `Manifest.revision`."""
        return self.manifest.revision


@attrs.frozen
class NodeReport:
    """What one host reports after `download`.

    `mode` is the download mode that was verified there, `files` and `bytes` count what it covers,
    `fetched` is how many of these bytes moved (0 on a warm start), `verified` says that every
    file's size and sha256 are those of the manifest of `revision`, and `custom_data` is what
    `on_node_download` changed there. `digest` (hex) covers the paths, sizes and sha256 of the files:
    hosts that report the same one hold the same bytes. `strategy` says how they came, and why so;
    `seconds` how long that took.
    """

    node_id: str
    path: str
    mode: NodeModelDownloadable
    revision: str
    files: int
    bytes: int
    fetched: int
    verified: bool
    custom_data: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    digest: str = ""
    strategy: str = ""
    seconds: float = 0.0


_UNTIL = "writable_in"
_NEVER: dict[str, Any] = {_UNTIL: ()}
_ANY_HOOK: dict[str, Any] = {_UNTIL: None}
_FIRST_HOOK: dict[str, Any] = {_UNTIL: ("on_before_init",)}
_UNTIL_DOWNLOAD: dict[str, Any] = {_UNTIL: ("on_before_init", "on_before_download")}
_UNTIL_PLACEMENT: dict[str, Any] = {
    _UNTIL: ("on_before_init", "on_before_download", "on_before_placement")
}
# Converters are functions of their own, with types: so a type checker knows what a hook may write.


def _mode(value: NodeModelDownloadable | str) -> NodeModelDownloadable:
    return NodeModelDownloadable.coerce(value)


def _extra_init_kwargs(value: Mapping[str, Any] | None) -> FrozenMap:
    return freeze_map(value, "extra_init_kwargs")


def _custom_data(value: Mapping[str, Any] | None) -> FrozenMap:
    return freeze_map(value, "custom_data")


def _nodes(value: Mapping[str, Any] | None) -> FrozenMap:
    return freeze_map(value, "nodes")


def _runtime_env(value: Mapping[str, Any] | None) -> FrozenMap | None:
    return None if value is None else freeze_map(value, "runtime_env")


def _flag(value: bool) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"run_init_node must be True or False, not {value!r}")
    return value


def _placement_group(value: Any) -> Any:
    """A request, a handle of a group (anything with a group's id), or `None`."""
    if value is None or hasattr(value, "bundles") or hasattr(value, "id"):
        return value
    raise TypeError(
        f"placement_group must be a PlacementRequest, a Ray PlacementGroup or None, not {value!r}"
    )


@attrs.frozen(kw_only=True)
class CallbackCtx:
    """What a hook receives, and answers with.

    Change it with `attrs.evolve(ctx, field=…)` or `ctx.evolve(field=…)`; `None` as an answer means
    unchanged. Mappings are deeply immutable: `ctx.evolve(custom_data=ctx.custom_data.set("k", 1))`.
    """

    llm_config: LLMConfig = attrs.field(metadata=_NEVER)
    """The config of the model. Never changed."""
    local_node_download_model: NodeModelDownloadable = attrs.field(
        default=NodeModelDownloadable.MODEL_AND_TOKENIZER, converter=_mode, metadata=_UNTIL_DOWNLOAD
    )
    """What the host of the engine (the first bundle) needs."""
    worker_node_download_model: NodeModelDownloadable = attrs.field(
        default=NodeModelDownloadable.MODEL_AND_TOKENIZER, converter=_mode, metadata=_UNTIL_DOWNLOAD
    )
    """What every other host of the plan needs."""
    placement_group: PlacementRequest | Any | None = attrs.field(
        default=None, converter=_placement_group, metadata=_UNTIL_PLACEMENT
    )
    """A request to plan, a group to adopt, or `None`: what the config asks for."""
    extra_init_kwargs: FrozenMap = attrs.field(
        default=EMPTY, converter=_extra_init_kwargs, repr=redacted, metadata=_ANY_HOOK
    )
    """Keyword arguments for the engine."""
    runtime_env: FrozenMap | None = attrs.field(
        default=None, converter=_runtime_env, repr=redacted, metadata=_UNTIL_DOWNLOAD
    )
    """Ray's runtime environment for the processes on the hosts."""
    custom_data: FrozenMap = attrs.field(
        default=EMPTY, converter=_custom_data, repr=redacted, metadata=_ANY_HOOK
    )
    """The user's own."""
    run_init_node: bool = attrs.field(default=True, converter=_flag, metadata=_FIRST_HOOK)
    """`False`: nodeinit neither downloads nor reserves, but still verifies both."""

    plan: PlacementPlan | None = attrs.field(default=None, metadata=_NEVER)
    """Where the bundles should go; set by `config`, renewed when the request or the cluster changes."""
    model: ModelFiles | None = attrs.field(default=None, metadata=_NEVER)
    """What the hosts need and where it will be; set by `config`."""
    placement: Placement | None = attrs.field(default=None, metadata=_NEVER)
    """Where Ray put the bundles; set by `placement`."""
    observed: ClusterSnapshot | None = attrs.field(default=None, metadata=_NEVER)
    """The hosts of the placement as Ray reported them when it was read back; set by `placement`."""
    attempt: int = attrs.field(default=1, metadata=_NEVER)
    """Which plan of this node is being followed: 1 for the first, raised with every new one."""
    nodes: FrozenMap = attrs.field(default=EMPTY, converter=_nodes, repr=redacted, metadata=_NEVER)
    """`NodeReport` by node id; set by `download`."""

    def evolve(self, **changes: Any) -> CallbackCtx:
        """A copy with some fields changed; an unknown field is refused with the nearest name."""
        for name in changes:
            if name not in FIELDS:
                raise TypeError(_no_field(name))
        # What does not change is frozen already: unlike `attrs.evolve`, this freezes nothing twice.
        made = object.__new__(type(self))
        for name, convert in _CONVERTERS.items():
            if name not in changes:
                value = getattr(self, name)
            else:
                value = convert(changes[name]) if convert else changes[name]
            object.__setattr__(made, name, value)
        return made


FIELDS = attrs.fields_dict(CallbackCtx)
_CONVERTERS: dict[str, Any] = {name: field.converter for name, field in FIELDS.items()}


def _no_field(name: str) -> str:
    hint = nearest(name, FIELDS)
    return f"CallbackCtx has no field {name!r}" + (f"; did you mean {hint!r}?" if hint else "")


def _refuse_write(self: CallbackCtx, name: str, value: Any) -> NoReturn:
    if name not in FIELDS:
        raise FrozenContextError(f"{_no_field(name)} (and the context is frozen)")
    raise FrozenContextError(
        f"the context is frozen: instead of `ctx.{name} = …`, "
        f"return attrs.evolve(ctx, {name}=…) from the hook"
    )


def _refuse_delete(self: CallbackCtx, name: str) -> NoReturn:
    raise FrozenContextError(f"the context is frozen: {name!r} cannot be deleted")


# attrs refuses a frozen class with a __setattr__ of its own, so the better message is put on after.
CallbackCtx.__setattr__ = _refuse_write  # type: ignore[method-assign,assignment]
CallbackCtx.__delattr__ = _refuse_delete  # type: ignore[method-assign,assignment]


def forbidden_change(before: CallbackCtx, after: CallbackCtx, hook: str) -> tuple[str, str] | None:
    """The first field that `hook` changed though it may not, with the rule it broke; else `None`."""
    for name, field in FIELDS.items():
        writable_in = field.metadata[_UNTIL]
        if writable_in is None or hook in writable_in:
            continue
        old, new = getattr(before, name), getattr(after, name)
        if old is new or old == new:
            continue
        if writable_in == ():
            return name, f"changed {name!r}, which only the engine sets"
        return name, f"changed {name!r}, which may change only in {' and '.join(writable_in)}"
    return None


def changes(before: CallbackCtx, after: CallbackCtx) -> dict[str, Any]:
    """The fields of `after` that differ from `before`, with their new values."""
    return {
        name: new
        for name in FIELDS
        if (new := getattr(after, name)) is not (old := getattr(before, name)) and new != old
    }
