"""Notes on the cluster of what is acquired, for whoever has to clean up after its owner.

They are kept by Ray's head, in its internal key-value store. Blocking calls, each of them one round
trip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ray.experimental import internal_kv

_NAMESPACE = b"nodeinit"


def put(key: str, value: Mapping[str, Any], *, overwrite: bool = True) -> bool:
    """Note something; whether there was no note of that key before."""
    data = json.dumps(value).encode()
    existed = internal_kv._internal_kv_put(
        key.encode(), data, overwrite=overwrite, namespace=_NAMESPACE
    )
    return not existed


def get(key: str) -> dict[str, Any] | None:
    """A note; `None` when there is none."""
    data = internal_kv._internal_kv_get(key.encode(), namespace=_NAMESPACE)
    found: dict[str, Any] | None = json.loads(data) if data else None
    return found


def erase(key: str) -> None:
    """Remove a note; one that is gone is fine."""
    internal_kv._internal_kv_del(key.encode(), namespace=_NAMESPACE)


def under(prefix: str) -> dict[str, dict[str, Any]]:
    """All notes whose key begins with a prefix, by the rest of the key."""
    keys = internal_kv._internal_kv_list(prefix.encode(), namespace=_NAMESPACE)
    names = sorted(bytes(key).decode() for key in keys)
    notes = ((name, get(name)) for name in names)
    return {name.removeprefix(prefix): note for name, note in notes if note is not None}
