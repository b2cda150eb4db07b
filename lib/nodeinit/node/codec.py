"""How a `CallbackCtx` gets into a journal and back."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Set
from typing import Any

import attrs
import cattrs
from pyrsistent import PMap

from nodeinit.config import LLMConfig
from nodeinit.context import FIELDS, CallbackCtx, ModelFiles, NodeReport, changes
from nodeinit.download.manifest import Manifest
from nodeinit.frozen import freeze_map
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import ClusterSnapshot, Placement, PlacementPlan
from nodeinit.redact import redact


@attrs.frozen
class GroupRef:
    """A placement group that was a live handle when the journal was written."""

    id: str


class ContextCodec:
    """Contexts as JSON. Secrets are redacted; live handles and objects come back as their names."""

    def dump(self, ctx: CallbackCtx) -> dict[str, Any]:
        """A whole context as JSON."""
        return {name: self._dump_field(name, getattr(ctx, name)) for name in FIELDS}

    def load(self, data: dict[str, Any]) -> CallbackCtx:
        """The context of a dump."""
        return CallbackCtx(**{name: self._load_field(name, value) for name, value in data.items()})

    def changes(self, before: CallbackCtx, after: CallbackCtx) -> dict[str, Any]:
        """The fields of `after` that differ from `before`, as JSON."""
        return {
            name: self._dump_field(name, value) for name, value in changes(before, after).items()
        }

    def apply(self, ctx: CallbackCtx, changes: dict[str, Any]) -> CallbackCtx:
        """`ctx` with these changes."""
        return ctx.evolve(
            **{name: self._load_field(name, value) for name, value in changes.items()}
        )

    def _dump_field(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name == "llm_config":
            return jsonable(redact(_with_known_callbacks(value).to_dict()))
        if name == "placement_group":
            if isinstance(value, PlacementRequest):
                return {"request": _converter().unstructure(value)}
            return {"group": group_id(value)}
        if name in _TYPES:
            return _converter().unstructure(value)
        if name == "nodes":
            return {node_id: _converter().unstructure(value[node_id]) for node_id in sorted(value)}
        return jsonable(redact(value))

    def _load_field(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name == "llm_config":
            return LLMConfig.from_dict(value, source="journal")
        if name == "placement_group":
            if "request" in value:
                return _converter().structure(value["request"], PlacementRequest)
            return GroupRef(value["group"])
        if name in _TYPES:
            return _converter().structure(value, _TYPES[name])
        if name == "nodes":
            return {key: _converter().structure(item, NodeReport) for key, item in value.items()}
        return value


_TYPES: dict[str, Any] = {
    "plan": PlacementPlan,
    "model": ModelFiles,
    "placement": Placement,
    "observed": ClusterSnapshot,
}


def _with_known_callbacks(config: LLMConfig) -> LLMConfig:
    """The config less the callbacks that have no name to import them by: they end with the process."""
    known = tuple(spec for spec in config.callbacks if "<" not in spec.name)
    return config if known == config.callbacks else config.evolve(callbacks=known)


def group_id(handle: Any) -> str:
    """The id of a group's handle, as a string."""
    found = handle.id
    return str(found.hex() if hasattr(found, "hex") else found)


def jsonable(value: Any) -> Any:
    """A value as plain JSON: mappings, lists, strings, numbers; anything else by its `repr`."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case Mapping():
            return {str(key): jsonable(value[key]) for key in sorted(value, key=str)}
        case Set():
            return sorted((jsonable(item) for item in value), key=repr)
    if isinstance(value, tuple) or (hasattr(value, "__iter__") and hasattr(value, "__len__")):
        return [jsonable(item) for item in value]
    return repr(value)


@functools.cache
def _converter() -> cattrs.Converter:
    attrs.resolve_types(ModelFiles, localns={"Manifest": Manifest})  # it lives above the context
    converter = cattrs.Converter(unstruct_collection_overrides={tuple: list})
    converter.register_unstructure_hook_func(
        lambda kind: kind is PMap or getattr(kind, "__origin__", None) is PMap, jsonable
    )
    converter.register_structure_hook_func(
        lambda kind: kind is PMap or getattr(kind, "__origin__", None) is PMap,
        lambda value, _: freeze_map(value),
    )
    return converter
