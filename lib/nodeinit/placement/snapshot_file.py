"""A cluster as a JSON file, to plan against one that is elsewhere, or not there yet.

    {"nodes": [{"node_id": "…", "name": "gpu-1", "alive": true, "labels": {"zone": "a"},
                "total": {"GPU": 8, "CPU": 64}, "available": {"GPU": 6, "CPU": 60}}],
     "groups": [{"group_id": "…", "name": "llm-a", "state": "CREATED", "strategy": "PACK",
                 "bundles": [{"resources": {"GPU": 2}, "labels": {}, "node_id": "…"}]}]}

Amounts are in units, as Ray reports them. A node may have `gpus`, the free amount of each single
GPU. `name`, `groups`, and all of a group but its `group_id` and `bundles` may be left out; other
keys are ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from nodeinit.config.origin import Origin
from nodeinit.errors import ConfigError, Fault
from nodeinit.placement.snapshot_parts import Parts
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Group, Host, amount


def read_snapshot(path: str | os.PathLike[str]) -> ClusterSnapshot:
    """The cluster in a file. Raises `ConfigError` with every fault of the file."""
    source = os.fspath(path)
    parts = Parts(Origin(source))
    found = parts.snapshot(_json(source))
    if parts.faults:
        raise ConfigError(parts.faults, source=source)
    return found


def with_plenty(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """The cluster with more CPU or memory than anybody asks for, where no host mentions any.

    Whoever writes a cluster by hand may list GPUs alone; a real one always has both somewhere.
    """
    for name in ("CPU", "memory"):
        if not any(name in host.total for host in snapshot.hosts):
            filled = [
                attrs.evolve(
                    host,
                    total=host.total.set(name, _PLENTY),
                    available=host.available.set(name, _PLENTY),
                )
                for host in snapshot.hosts
            ]
            snapshot = snapshot.after(filled)
    return snapshot


_PLENTY = UNIT * 2**50


def snapshot_text(snapshot: ClusterSnapshot) -> str:
    """The text of a file that `read_snapshot` takes, the same for the same snapshot.

    Ray lets a free amount fall below nothing for a moment; in a file it is between 0 and the total.
    """
    return json.dumps(snapshot_data(snapshot), indent=2, ensure_ascii=False) + "\n"


def snapshot_data(snapshot: ClusterSnapshot) -> dict[str, Any]:
    """What such a file holds, as JSON."""
    return {
        "nodes": [_node(host) for host in snapshot.hosts],
        "groups": [_group(group) for group in snapshot.groups],
    }


def _json(source: str) -> Any:
    def broken(problem: str, remedy: str, line: int | None = None) -> ConfigError:
        return ConfigError(Fault("file", problem, None, remedy, line), source=source)

    save = "save a cluster with `nodeinit snapshot -o FILE`"
    try:
        return json.loads(Path(source).expanduser().read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        here = "" if Path(source).is_absolute() else f" (seen from {Path.cwd()})"
        raise broken("does not exist", f"check the path{here}, or {save}") from None
    except IsADirectoryError:
        raise broken("is a directory", "name the JSON file in it") from None
    except UnicodeDecodeError:
        raise broken("is not UTF-8 text", "save it as UTF-8") from None
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} in column {error.colno}"
        raise broken(problem, save, error.lineno) from None
    except (OSError, ValueError, RuntimeError) as error:  # no such user, deeper than Python goes
        raise broken(f"cannot be read: {error}", "check the file") from None


def _units(resources: Mapping[str, int]) -> dict[str, float]:
    return {name: amount(value) for name, value in sorted(resources.items())}


def _node(host: Host) -> dict[str, Any]:
    free = {
        name: max(0, min(value, int(host.total.get(name, 0))))
        for name, value in host.available.items()
    }
    node: dict[str, Any] = {
        "node_id": host.node_id,
        "name": host.name,
        "alive": host.alive,
        "labels": dict(sorted(host.labels.items())),
        "total": _units(host.total),
        "available": _units(free),
    }
    if host.gpus is not None:
        node["gpus"] = [amount(free) for free in host.gpus]
    return node


def _group(group: Group) -> dict[str, Any]:
    return {
        "group_id": group.group_id,
        "name": group.name,
        "state": group.state,
        "strategy": group.strategy,
        "bundles": [
            _bundle(bundle, node_id)
            for bundle, node_id in zip(group.bundles, group.assigned, strict=True)
        ],
    }


def _bundle(bundle: Bundle, node_id: str | None) -> dict[str, Any]:
    labels = dict(sorted(bundle.labels.items()))
    return {"resources": bundle.units(), "labels": labels, "node_id": node_id}
