"""The real cluster: Ray behind the port of `nodeinit.clusters.base`.

`RayCluster` is loaded when it is asked for: importing this package does not import Ray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodeinit.ray.cluster import RayCluster

__all__ = ["RayCluster"]


def __getattr__(name: str) -> Any:
    if name == "RayCluster":
        from nodeinit.ray.cluster import RayCluster

        return RayCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
