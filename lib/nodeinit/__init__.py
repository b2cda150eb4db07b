"""Bring an LLM serving node from a config to READY on Ray, as an explicit state machine.

Everything here is imported on first use: `import nodeinit` is quick and never imports Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodeinit.callbacks import CallbackSpec, RayServeLLMCallback
    from nodeinit.clusters.simulated import SimCluster
    from nodeinit.config import LLMConfig
    from nodeinit.context import CallbackCtx, NodeModelDownloadable
    from nodeinit.errors import (
        ConfigError,
        HookError,
        InfeasibleError,
        InitializationCancelled,
        InitializationFailed,
        NodeInitError,
        PermanentError,
        TemporaryError,
    )
    from nodeinit.fsm.definition import Definition, Edge, Phase
    from nodeinit.fsm.policy import Policy
    from nodeinit.fsm.registry import load_machine
    from nodeinit.fsm.replay import replay
    from nodeinit.node.initializer import NodeInitializer
    from nodeinit.node.ready import ReadyNode, initialize_node
    from nodeinit.node.sync import initialize_node_sync
    from nodeinit.placement.request import PlacementRequest
    from nodeinit.ray.cluster import RayCluster

__all__ = [
    "CallbackCtx",
    "CallbackSpec",
    "ConfigError",
    "Definition",
    "Edge",
    "HookError",
    "InfeasibleError",
    "InitializationCancelled",
    "InitializationFailed",
    "LLMConfig",
    "NodeInitError",
    "NodeInitializer",
    "NodeModelDownloadable",
    "PermanentError",
    "Phase",
    "PlacementRequest",
    "Policy",
    "RayCluster",
    "RayServeLLMCallback",
    "ReadyNode",
    "SimCluster",
    "TemporaryError",
    "initialize_node",
    "initialize_node_sync",
    "load_machine",
    "replay",
]

_HOMES = {
    "callbacks": ("CallbackSpec", "RayServeLLMCallback"),
    "clusters.simulated": ("SimCluster",),
    "config": ("LLMConfig",),
    "context": ("CallbackCtx", "NodeModelDownloadable"),
    "errors": tuple(n for n in __all__ if n.endswith(("Error", "Failed", "Cancelled"))),
    "fsm.definition": ("Definition", "Edge", "Phase"),
    "fsm.policy": ("Policy",),
    "fsm.registry": ("load_machine",),
    "fsm.replay": ("replay",),
    "node.initializer": ("NodeInitializer",),
    "node.ready": ("ReadyNode", "initialize_node"),
    "node.sync": ("initialize_node_sync",),
    "placement.request": ("PlacementRequest",),
    "ray.cluster": ("RayCluster",),
}
_MODULE_OF = {name: f"nodeinit.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("nodeinit")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nodeinit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
