"""From the data of a snapshot file to hosts and groups, with every fault that is met on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from nodeinit.config.origin import Origin, Path
from nodeinit.errors import Fault
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Group, Host, reported

T = TypeVar("T")

_MISSING: Any = object()


class Parts:
    """Reads the parts of one file; `faults` are those of all parts that were read."""

    def __init__(self, origin: Origin) -> None:
        self.faults: list[Fault] = []
        self._origin = origin
        self._places: dict[str, Path] = {}  # of the nodes, by node id

    def snapshot(self, data: Any) -> ClusterSnapshot:
        """The cluster of a file. What is at fault in it is left out, or stands for nothing."""
        if not isinstance(data, dict):
            self._fault((), "is not a mapping", 'write {"nodes": […]}', data)
            return ClusterSnapshot(())
        hosts = self._items(data, (), "nodes", self._host)
        groups = self._items(data, (), "groups", self._group, default=[])
        return ClusterSnapshot(tuple(hosts), tuple(groups))

    def _host(self, node: dict[str, Any], path: Path) -> Host:
        node_id = self._text(node, path, "node_id")
        first = self._places.setdefault(node_id, path)
        if node_id and first != path:
            problem = f"is the id of {self._origin.where(first)} too"
            self._fault((*path, "node_id"), problem, "list each host once", node_id)
        total = self._amounts(node, path, "total")
        available = self._amounts(node, path, "available")
        for name, free in available.items():
            if free > total.get(name, 0):
                problem = f"is more than the total, {total.get(name, 0) / UNIT:g}"
                remedy = "lower it, or raise the total"
                self._fault((*path, "available", name), problem, remedy, node["available"][name])
        alive = self._typed(node, path, "alive", bool, "write true or false", True)
        labels = self._labels(node, path, _MISSING)
        return Host(
            node_id,
            self._text(node, path, "name", node_id) or node_id,
            total,
            available,
            labels,
            alive,
            self._gpus(node, path),
        )

    def _gpus(self, node: dict[str, Any], path: Path) -> tuple[int, ...] | None:
        if node.get("gpus") is None:
            return None
        listed = self._typed(node, path, "gpus", list, "write a list such as [1, 0.5]", [])
        return tuple(self._amount(free, (*path, "gpus", i)) for i, free in enumerate(listed))

    def _group(self, group: dict[str, Any], path: Path) -> Group:
        group_id = self._text(group, path, "group_id")
        placed = self._items(group, path, "bundles", self._bundle)
        return Group(
            group_id,
            self._text(group, path, "name", ""),
            self._text(group, path, "state", "CREATED"),
            tuple(bundle for bundle, _ in placed),
            self._text(group, path, "strategy", "PACK"),
            tuple(node_id for _, node_id in placed),
        )

    def _bundle(self, bundle: dict[str, Any], path: Path) -> tuple[Bundle, str | None]:
        resources = self._amounts(bundle, path, "resources")
        labels = self._labels(bundle, path, {})
        node_id = None
        if bundle.get("node_id") is not None:
            node_id = self._text(bundle, path, "node_id")
        return Bundle(resources, labels), node_id

    def _amounts(self, data: dict[str, Any], path: Path, key: str) -> dict[str, int]:
        remedy = 'write a mapping such as {"GPU": 8}'
        units = self._typed(data, path, key, dict, remedy, {})
        return {name: self._amount(value, (*path, key, name)) for name, value in units.items()}

    def _amount(self, value: Any, path: Path) -> int:
        problem = None
        if isinstance(value, bool) or not isinstance(value, int | float):
            problem = "is not a number"
        elif isinstance(value, float) and not math.isfinite(value * UNIT):
            problem = "is not a finite number"
        elif value < 0:
            problem = "is negative"
        if problem is None:
            return reported(value)
        self._fault(path, problem, "write how many units, such as 1", value)
        return 0

    def _labels(self, data: dict[str, Any], path: Path, default: Any) -> dict[str, str]:
        remedy = 'write a mapping such as {"zone": "a"}'
        labels = self._typed(data, path, "labels", dict, remedy, {}, default)
        return {name: self._text(labels, (*path, "labels"), name) for name in labels}

    def _text(self, data: dict[str, Any], path: Path, key: str, default: Any = _MISSING) -> str:
        return self._typed(data, path, key, str, "write it in quotes", "", default)

    def _items(
        self,
        data: dict[str, Any],
        path: Path,
        key: str,
        read: Callable[[dict[str, Any], Path], T],
        default: Any = _MISSING,
    ) -> list[T]:
        found = []
        listed = self._typed(data, path, key, list, "write a list […]", [], default)
        for i, item in enumerate(listed):
            if isinstance(item, dict):
                found.append(read(item, (*path, key, i)))
            else:
                self._fault((*path, key, i), "is not a mapping", "write {…}", item)
        return found

    def _typed(
        self,
        data: dict[str, Any],
        path: Path,
        key: str,
        kind: type[T],
        remedy: str,
        instead: T,
        default: Any = _MISSING,
    ) -> T:
        """The value of a key; `instead` of a wrong or missing one, `default` if it may be missing."""
        value = data.get(key, default)
        if isinstance(value, kind):
            return value
        if value is _MISSING:
            self._fault((*path, key), "is missing", remedy)
        else:
            self._fault((*path, key), f"is not {_KINDS[kind]}", remedy, value)
        return instead

    def _fault(self, path: Path, problem: str, remedy: str, value: Any = _MISSING) -> None:
        # A missing value has nothing to show.
        shown = () if value is _MISSING else (value,)
        self.faults.append(self._origin.fault(path, problem, remedy, *shown))


_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
}
